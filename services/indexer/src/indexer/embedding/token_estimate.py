"""Where to cut a text for a model whose tokenizer is not at hand."""

import re
from collections.abc import Iterator

from indexer.embedding.chunking import split_spans

_WORD = re.compile(r"[^\W\d_]+|\s{2,}|\d|[^\w\s]|_")
_LETTERS_A_TOKEN = 3
_UNUSUAL = 13
"""Letters of a word that is no word: names of things, encoded data. Vocabularies have only short pieces of it."""


def split_by_estimate(text: str, window: int, overlap: int) -> tuple[str, ...]:
    """Pieces of `text` of at most `window` tokens, by an estimate that is on the safe side for byte-pair and WordPiece
    vocabularies: three ASCII letters make a token (English has about four and a half), two of a very long word, so
    does each digit and sign; another character makes one to three, by its bytes in UTF-8. Consecutive pieces overlap
    by about `overlap` tokens."""
    if len(text.encode("utf-8", "surrogatepass")) <= window:  # no vocabulary needs more than one token a byte
        return (text,)
    offsets: list[tuple[int, int]] = []
    words: list[int | None] = []
    for number, (start, end, letters, tokens) in enumerate(_words(text)):
        for first in range(start, end, letters):
            offsets += [(first, min(first + letters, end))] * tokens
            words += [number] * tokens
    return tuple(text[start:end] for start, end in split_spans(text, offsets, words, window, overlap))


def _words(text: str) -> Iterator[tuple[int, int, int, int]]:
    """Start and end of each word, and how many of its characters make how many tokens. Where words are not set apart
    (as in Chinese), each character counts as one."""
    for match in _WORD.finditer(text):
        start, end = match.span()
        if match.group().isascii():
            yield start, end, _LETTERS_A_TOKEN if end - start < _UNUSUAL else 2, 1
            continue
        size = max(len(character.encode("utf-8", "surrogatepass")) for character in match.group())
        if size > 2:
            yield from ((at, at + 1, 1, size - 1) for at in range(start, end))
        else:
            yield start, end, 1, 1

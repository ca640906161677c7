"""Where to cut a text that is longer than the model's window."""

import re
from collections.abc import Sequence

_SENTENCE_END = re.compile(r"[.!?…。！？]['\")\]»”’]*\s*$|\n\s*$")


def split_spans(
    text: str, offsets: Sequence[tuple[int, int]], words: Sequence[int | None], window: int, overlap: int
) -> list[tuple[int, int]]:
    """Character spans of `text`, each of at most `window` tokens, that together cover all of it.

    `offsets` are the tokens' (start, end) in characters and `words` the index of the word that each token
    belongs to. A span starts and ends where a word does, so that its tokens are the same when it is
    tokenized alone, and at a sentence's end if there is one in the second half of the window. The next span
    begins about `overlap` tokens before the last one's end, at a sentence's start if one is near.
    """
    count = len(offsets)
    if count <= window:
        return [(0, len(text))]
    starts = [i for i in range(1, count) if words[i] != words[i - 1] or words[i] is None]
    sentences = [i for i in starts if _SENTENCE_END.search(text, offsets[i - 1][0], offsets[i][0])]
    is_start, is_sentence = bytearray(count + 1), bytearray(count + 1)
    for i in starts:
        is_start[i] = 1
    for i in sentences:
        is_sentence[i] = 1

    spans: list[tuple[int, int]] = []
    first = cut = 0
    while count - first > window:
        limit = first + window
        # Beyond the last cut, or the span would add nothing.
        low = cut + 1
        # The last resort, a cut inside a word, happens only if one word fills the whole window.
        cut = _last(is_sentence, max(low, first + window // 2), limit) or _last(is_start, low, limit) or limit
        spans.append((_begin(offsets, first), offsets[cut][0]))
        back = max(first + 1, cut - overlap)
        first = _last(is_sentence, back, cut - 1) or _first(is_start, back, cut - 1) or cut
    spans.append((_begin(offsets, first), len(text)))
    return spans


def _begin(offsets: Sequence[tuple[int, int]], token: int) -> int:
    """What stands before the first token (white space, say) belongs to the first span."""
    return offsets[token][0] if token else 0


def _last(flags: bytearray, low: int, high: int) -> int:
    """The highest flagged index of [low, high], or 0."""
    return max(flags.rfind(1, low, high + 1), 0)


def _first(flags: bytearray, low: int, high: int) -> int:
    """The lowest flagged index of [low, high], or 0."""
    return max(flags.find(1, low, high + 1), 0)

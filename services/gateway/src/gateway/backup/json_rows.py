"""A large JSON document, row by row: the elements of the lists of the object that it is, without holding it whole."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic import JsonValue

from gateway.backup.errors import BrokenBackup

MOST_ROW = 2 * 1024 * 1024
"""Characters of one element; more than any memory may have."""
_CHUNK = 1 << 16
_NUMBER = frozenset(("", *"0123456789.eE+-"))
_SPACE = re.compile(r"[ \t\n\r]*")


def rows(stream: BinaryIO, lists: set[str], what: str) -> Iterator[tuple[str, JsonValue]]:
    """What the object in `stream` has, in its order: (key, None) where one of the `lists` begins, then (key, element)
    for each of its elements; (key, value) for the other keys, which must not be null. Strict: UTF-8, no NaN, no
    infinity, no key twice. Raises `BrokenBackup`, which names `what`."""
    text = _Text(stream, what)
    text.expect("{")
    seen: set[str] = set()
    while text.peek() != "}":
        if seen:
            text.expect(",")
        key = text.value()
        if not isinstance(key, str):
            raise text.broken("a key is not a string")
        if key in seen:
            raise text.broken(f"the key '{key[:80]}' is there twice")
        seen.add(key)
        text.expect(":")
        if key not in lists:
            yield key, text.value()
            continue
        if text.peek() != "[":
            raise text.broken(f"'{key}' is not a list")
        yield key, None
        yield from ((key, element) for element in _elements(text))
    text.expect("}")
    if text.peek():
        raise text.broken("something follows behind its end")


def _elements(text: "_Text") -> Iterator[JsonValue]:
    text.expect("[")
    first = True
    while text.peek() != "]":
        if not first:
            text.expect(",")
        first = False
        yield text.value()
    text.expect("]")


class _Text:
    """The part of the document that is in hand."""

    def __init__(self, stream: BinaryIO, what: str) -> None:
        self._stream = stream
        self._what = what
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=self._constant, parse_float=self._float
        )
        self._text = ""
        self._at = 0
        self._before = 0
        self._ended = False

    def broken(self, why: str) -> BrokenBackup:
        return BrokenBackup(f"{self._what} is not right at character {self._before + self._at}: {why}")

    def peek(self) -> str:
        """The next character that is not white space; nothing at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # pyright: ignore[reportOptionalMemberAccess]
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def expect(self, char: str) -> None:
        if (found := self.peek()) != char:
            raise self.broken(f"expected '{char}', found '{found}'" if found else "it ends here")
        self._at += 1

    def value(self) -> JsonValue:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
                if self._text[end : end + 1] in _NUMBER and self._more():  # it may go on
                    continue
                self._at = end
                return value
            except json.JSONDecodeError as error:
                reason = error.msg
            except RecursionError:
                raise self.broken("it is nested too deeply") from None
            except ValueError:
                raise self.broken("a number in it is too long") from None
            if len(self._text) - self._at > MOST_ROW:
                raise self.broken(f"{reason}, or one row is over {MOST_ROW} characters")
            if not self._more():
                raise self.broken(reason if self._at < len(self._text) else "it ends here")

    def _more(self) -> bool:
        """Read on, twice as much each time that it is not enough; False at the end."""
        left = self._text[self._at :]
        self._before += self._at
        self._text, self._at = left, 0
        while not self._ended and len(self._text) == len(left):
            data = self._stream.read(max(_CHUNK, len(left)))
            self._ended = not data
            try:
                self._text += self._utf8.decode(data, self._ended)
            except UnicodeDecodeError:
                raise self.broken("it is not UTF-8") from None
        return len(self._text) > len(left)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise self.broken("an object has a key twice")
        return found

    def _constant(self, name: str) -> Any:
        raise self.broken(f"{name} is not JSON")

    def _float(self, text: str) -> float:
        if not math.isfinite(number := float(text)):
            raise self.broken("a number in it is too large")
        return number

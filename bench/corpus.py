"""The memories of one user with many, by seed, and what a list, a filter or a search of them must answer."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from contracts.categories import SEED_CATEGORIES

from bench.texts import Texts, code_word

APPS = ("claude", "cursor", "vscode", "notes")
CATEGORIES = tuple(name for name, _ in SEED_CATEGORIES[:10])
_SECOND_CATEGORY = 0.3
_FIRST_AT = datetime(2025, 1, 1, tzinfo=UTC)
_EVERY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Known:
    """One memory. Each has a time of its own, so that a list has one order only. `code` is the made-up word in it
    that no other memory holds; most have none."""

    text: str
    app: str
    categories: tuple[str, ...]
    at: datetime
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list or a search is bounded to; None restricts nothing. `substring` counts in any case of letters."""

    app: str | None = None
    category: str | None = None
    substring: str | None = None

    def lets_through(self, memory: Known) -> bool:
        return (
            self.app in (None, memory.app)
            and (self.category is None or self.category in memory.categories)
            and (self.substring is None or self.substring.lower() in memory.text.lower())
        )


class Held:
    """What a user with these memories, oldest first, must be answered."""

    def __init__(self, memories: Sequence[Known]) -> None:
        self.memories = memories
        self.by_text = {memory.text: memory for memory in memories}
        self._matching: dict[Filter, list[str]] = {}
        self._codes: dict[Filter, list[str]] = {}

    def newest_first(self, bounds: Filter) -> list[str]:
        """All texts that the filter lets through."""
        if bounds not in self._matching:
            self._matching[bounds] = [m.text for m in reversed(self.memories) if bounds.lets_through(m)]
        return self._matching[bounds]

    def codes(self, bounds: Filter) -> list[str]:
        """The code words of the memories that the filter lets through."""
        if bounds not in self._codes:
            self._codes[bounds] = [m.code for m in self.memories if m.code is not None and bounds.lets_through(m)]
        return self._codes[bounds]


class Corpus:
    """`count` memories. The first ones are the same for any count: one for each app and category, with a code word."""

    def __init__(self, seed: int, count: int) -> None:
        texts, chance = Texts(seed), random.Random(seed)
        self._memories: list[Known] = []
        for app in APPS:
            for category in CATEGORIES:
                code = code_word(len(self._memories))
                self._memories.append(Known(texts.with_code(code), app, (category,), self._next_at(), code))
        while len(self._memories) < count:
            categories = chance.sample(CATEGORIES, 2 if chance.random() < _SECOND_CATEGORY else 1)
            self._memories.append(Known(texts.memory(), chance.choice(APPS), tuple(categories), self._next_at()))

    def first(self, count: int) -> list[Known]:
        return self._memories[:count]

    def _next_at(self) -> datetime:
        return _FIRST_AT + len(self._memories) * _EVERY

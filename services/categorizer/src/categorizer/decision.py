"""Which categories a text belongs to, by the similarity of its vector to the categories' phrases. Pure.

Zero-shot: nothing is trained. A category is some phrases, and its score is the mean of two cosines, with the phrase
that is nearest and with the mean direction of all of them: the first alone is misled by a single word, the second
blurs what is diverse. The thresholds were chosen on one half of tests/data/categories.jsonl and
own_categories.jsonl; the tests hold the other half to a floor.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from contracts.categories import SEED_CATEGORIES
from numpy.typing import NDArray

from categorizer.examples import EXAMPLES

Vectors = NDArray[np.float32]
MOST = 3
"""A memory gets at most so many categories."""
NEAR = 0.25
"""Score from which on a text belongs to a category that Memlog brings along; unrelated texts stay below 0.2."""
MARGIN = 0.03
"""How far behind the best of them another one may be."""
NEAR_OWN = 0.29
"""The same for a category that the user described in a few words: without examples, less is certain."""
_PHRASES = 12
_CLAUSE = re.compile(r"[,;:.!?\n]|\band\b")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A category to choose from. `phrases` (n, dimension) and `direction` (dimension,) are L2-normalized; `own`: the
    user described it."""

    name: str
    own: bool
    phrases: Vectors
    direction: Vectors

    @classmethod
    def of(cls, name: str, own: bool, phrases: Vectors) -> "Candidate":
        mean: Vectors = phrases.mean(axis=0)
        return cls(name, own, phrases, mean / max(float(np.linalg.norm(mean)), 1e-12))

    def score(self, vector: Vectors) -> float:
        """From -1 to 1; `vector` (dimension,) is L2-normalized."""
        return (float((self.phrases @ vector).max()) + float(self.direction @ vector)) / 2


def seed_phrases() -> dict[str, tuple[str, ...]]:
    """The phrases of each category that Memlog brings along: its description and examples."""
    return {name: (f"{name}: {description}", *EXAMPLES[name]) for name, description in SEED_CATEGORIES}


def own_phrases(name: str, description: str) -> tuple[str, ...]:
    """The phrases of a category that the user described: all of it, and its parts."""
    parts = [part.strip() for part in _CLAUSE.split(description)]
    whole = f"{name}: {description}" if description.strip() else name
    return tuple(dict.fromkeys((name, whole, *filter(None, parts))))[:_PHRASES]


def choose(vector: Vectors, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """The categories of a text, best first, at most `MOST`; none when nothing is near. The user's own come first:
    whoever describes a category wants to see it used."""
    scored = sorted(((c.score(vector), c) for c in candidates), key=lambda pair: -pair[0])
    best = max((score for score, candidate in scored if not candidate.own), default=0.0)
    own = [c.name for score, c in scored if c.own and score >= NEAR_OWN]
    others = [c.name for score, c in scored if not c.own and score >= max(NEAR, best - MARGIN)]
    return tuple([*own, *others][:MOST])

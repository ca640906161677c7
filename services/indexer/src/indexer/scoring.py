"""How a chunk's two scores become one, whichever store computes it."""

from dataclasses import dataclass

DENSE = "dense"
BM25 = "bm25"
"""Names of a chunk's two vectors."""


@dataclass(frozen=True, slots=True)
class Bm25Weights:
    """Okapi BM25's term weights, with the stems and stop words of a language.

    The mean length is a constant, so that a document's weights never change; a high one is a weak length
    normalization, which did best on memories (0.64 at 24 tokens, 0.65 at 64).
    """

    k: float = 1.2
    b: float = 0.75
    mean_length: float = 64
    language: str = "english"


@dataclass(frozen=True, slots=True)
class Fusion:
    """Weights of `dense x cosine + bm25 x score / (score + half)`: both terms in 0..1, and so the sum.

    On LoCoMo's 1,982 questions over 5,882 turns (recall@10, MiniLM): dense alone 0.424, BM25 alone 0.650,
    reciprocal ranks with k = 60 0.560, these weights 0.670; over texts that include the turn before them 0.458,
    0.720, 0.632 and 0.735. Dividing by the query's best BM25 score instead gives 0.679 and 0.740, but takes a
    second pass, and its scores mean nothing from one query to the next. (The weights were chosen on the same
    questions; the result is flat around them.)
    """

    dense: float
    bm25: float
    # The BM25 score that counts half.
    half: float
    # The cosine of a chunk that only BM25 found: it is below those of the best `depth`.
    missing_cosine: float
    # Chunks that each side puts forward, at least.
    depth: int


WEIGHTS = Bm25Weights()
FUSION = Fusion(dense=0.35, bm25=0.65, half=8.0, missing_cosine=0.2, depth=100)

"""The filter and the hybrid query in Qdrant Edge's terms."""

from collections.abc import Sequence
from dataclasses import dataclass

import qdrant_edge as engine

from indexer.index import SearchFilter

DENSE = "dense"
BM25 = "bm25"


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


FUSION = Fusion(dense=0.35, bm25=0.65, half=8.0, missing_cosine=0.2, depth=100)


def bm25_model() -> engine.Bm25:
    """Okapi BM25's term weights, with English stems and stop words.

    The mean length is a constant, so that a document's weights never change; a high one is a weak length
    normalization, which did best on memories (0.64 at 24 tokens, 0.65 at 64).
    """
    return engine.Bm25(engine.Bm25Config(k=1.2, b=0.75, avg_len=64, language="english"))


def scope(uid: str, state: str) -> str:
    """The payload value for user and state together: one look-up instead of two conditions a point."""
    return f"{uid}|{state}"


def any_of(key: str, values: Sequence[str]) -> engine.FieldCondition:
    """The payload's `key` is, or holds, one of `values`."""
    return engine.FieldCondition(key, match=engine.MatchAny(list(values)))


def chunk_filter(where: SearchFilter, first_chunks: bool = False) -> engine.Filter | None:
    """The chunks that `where` lets be seen, or None if nothing can be; `first_chunks`: one of each memory."""
    restrictions = {
        "scope": tuple(scope(where.uid, state) for state in where.states),
        "app_id": where.app_ids,
        "categories": where.categories,
        "memory_id": where.memory_ids,
    }
    if any(values == () for values in restrictions.values()):
        return None
    must: list[engine.ConditionType] = [any_of(key, values) for key, values in restrictions.items() if values]
    if where.created_from is not None or where.created_to is not None:
        between = engine.RangeFloat(gte=where.created_from, lte=where.created_to)
        must.append(engine.FieldCondition("created_at", range=between))
    if first_chunks:
        must.append(engine.FieldCondition("ordinal", match=engine.MatchValue(0)))
    excluded = {"app_id": where.exclude_app_ids, "memory_id": where.exclude_memory_ids}
    must_not: list[engine.ConditionType] = [any_of(key, values) for key, values in excluded.items() if values]
    return engine.Filter(must=must, must_not=must_not)


def hybrid_query(
    dense: list[float], words: engine.SparseVector, allowed: engine.Filter, limit: int
) -> engine.QueryRequest:
    """Dense and BM25 search, both filtered, fused by FUSION: the best `limit` chunks with memory and version.

    Fewer than `limit` come back only if no more chunks are allowed.
    """
    depth = max(FUSION.depth, limit)
    nearest = engine.Prefetch(depth, query=engine.Query.Nearest(dense, using=DENSE), filter=allowed)
    matching = engine.Prefetch(
        depth,
        query=engine.Query.Nearest(words, using=BM25),
        filter=allowed,
        # Frequencies over all users would let scores tell something of other users' words.
        params=engine.SearchParams(idf=engine.IdfParams(allowed)),
    )
    return engine.QueryRequest(
        limit,
        prefetches=[nearest, matching],
        query=_FORMULA,
        with_payload=["memory_id", "version"],
    )


def _fused(fusion: Fusion) -> engine.Formula:
    expression = engine.Expression
    cosine, bm25 = expression.Variable("$score[0]"), expression.Variable("$score[1]")
    similar = expression.Max([expression.Constant(0.0), cosine])
    matching = expression.Div(bm25, expression.Sum([bm25, expression.Constant(fusion.half)]), 0.0)
    total = [
        expression.Mult([expression.Constant(fusion.dense), similar]),
        expression.Mult([expression.Constant(fusion.bm25), matching]),
    ]
    return engine.Formula(expression.Sum(total), {"$score[0]": fusion.missing_cosine, "$score[1]": 0.0})


_FORMULA = _fused(FUSION)

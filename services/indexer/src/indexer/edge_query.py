"""The filter and the hybrid query in Qdrant Edge's terms."""

from __future__ import annotations  # the engine names its types in its stubs only

from collections.abc import Sequence

import qdrant_edge as engine

from indexer.access import conditions
from indexer.index import SearchFilter
from indexer.points import scopes
from indexer.scoring import BM25, DENSE, FUSION, WEIGHTS, Fusion


def bm25_model() -> engine.Bm25:
    """BM25's term weights, computed in this process."""
    weights = WEIGHTS
    return engine.Bm25(
        engine.Bm25Config(k=weights.k, b=weights.b, avg_len=weights.mean_length, language=weights.language)
    )


def any_of(key: str, values: Sequence[str]) -> engine.ConditionType:
    """The payload's `key` is, or holds, one of `values`."""
    return engine.FieldCondition(key, match=engine.MatchAny(list(values)))


def in_version(version: int) -> engine.ConditionType:
    """The chunk is of this version of its memory's text."""
    return engine.FieldCondition("version", match=engine.MatchValue(version))


def since_version(version: int) -> engine.ConditionType:
    """The chunk is of this version of its memory's text, or of a later one."""
    return engine.FieldCondition("version", range=engine.RangeFloat(gte=version))


def of_version(version: int, memory_ids: Sequence[str]) -> engine.ConditionType:
    """The chunk is of this version of one of these memories."""
    return engine.Filter(must=[in_version(version), any_of("memory_id", memory_ids)])


def chunk_filter(where: SearchFilter, first_chunks: bool = False) -> engine.Filter | None:
    """The chunks that `where` lets be seen, or None if nothing can be; `first_chunks`: one of each memory."""
    restrictions = {
        "scope": scopes(where),
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
    if where.past is not None:
        versions = [of_version(version, memory_ids) for version, memory_ids in where.past.items() if memory_ids]
        if not versions:
            return None
        must.append(engine.Filter(should=versions))
    if first_chunks:
        must.append(engine.FieldCondition("ordinal", match=engine.MatchValue(0)))
    excluded = {"app_id": where.exclude_app_ids, "memory_id": where.exclude_memory_ids}
    must_not: list[engine.ConditionType] = [any_of(key, values) for key, values in excluded.items() if values]
    if where.access is not None:
        readable = conditions(where.access, any_of, _nested)
        if readable is None:
            return None
        must += readable[0]
        must_not += readable[1]
    return engine.Filter(must=must, must_not=must_not)


def _nested(should: Sequence[engine.ConditionType], must_not: Sequence[engine.ConditionType]) -> engine.ConditionType:
    return engine.Filter(should=[*should] or None, must_not=[*must_not] or None)


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

"""The filter and the hybrid query in the terms of a Qdrant server."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from qdrant_client import models

from indexer.access import conditions
from indexer.index import SearchFilter
from indexer.points import scopes
from indexer.scoring import BM25, DENSE, FUSION, WEIGHTS, Fusion

WordVector = models.Document | models.SparseVector


class Words(Protocol):
    """How words are weighed for BM25."""

    def of_chunk(self, text: str) -> WordVector: ...

    def of_query(self, text: str) -> WordVector: ...


class ServerWords:
    """The server makes the words' vector of the text, which it does not keep, with its own stems and stop words."""

    def of_chunk(self, text: str) -> WordVector:
        return self.of_query(text)

    def of_query(self, text: str) -> WordVector:
        return models.Document(
            text=text,
            model="qdrant/bm25",
            options={"k": WEIGHTS.k, "b": WEIGHTS.b, "avg_len": WEIGHTS.mean_length, "language": WEIGHTS.language},
        )


def any_of(key: str, values: Sequence[str]) -> models.Condition:
    """The payload's `key` is, or holds, one of `values`."""
    return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))


def up_to_epoch(epoch: int) -> models.FieldCondition:
    """The point was written last by an owner that is not newer than `epoch`."""
    return models.FieldCondition(key="epoch", range=models.Range(lte=epoch))


def with_id(*ids: UUID) -> models.HasIdCondition:
    return models.HasIdCondition(has_id=[str(id) for id in ids])


def matching(*must: models.Condition, but: Sequence[models.Condition] = ()) -> models.Filter:
    return models.Filter(must=list(must), must_not=list(but) or None)


def in_version(version: int) -> models.Condition:
    """The chunk is of this version of its memory's text."""
    return models.FieldCondition(key="version", match=models.MatchValue(value=version))


def since_version(version: int) -> models.Condition:
    """The chunk is of this version of its memory's text, or of a later one."""
    return models.FieldCondition(key="version", range=models.Range(gte=version))


def of_version(version: int, memory_ids: Sequence[str]) -> models.Condition:
    """The chunk is of this version of one of these memories."""
    return matching(in_version(version), any_of("memory_id", memory_ids))


def chunk_filter(where: SearchFilter, first_chunks: bool = False) -> models.Filter | None:
    """The chunks that `where` lets be seen, or None if nothing can be; `first_chunks`: one of each memory."""
    restrictions = {
        "scope": scopes(where),
        "app_id": where.app_ids,
        "categories": where.categories,
        "memory_id": where.memory_ids,
    }
    if any(values == () for values in restrictions.values()):
        return None
    # `scope` implies the user; the tenant's own field lets the server go to the tenant's own graph.
    user = models.FieldCondition(key="uid", match=models.MatchValue(value=where.uid))
    must: list[models.Condition] = [user, *(any_of(key, values) for key, values in restrictions.items() if values)]
    if where.created_from is not None or where.created_to is not None:
        between = models.Range(gte=where.created_from, lte=where.created_to)
        must.append(models.FieldCondition(key="created_at", range=between))
    if where.past is not None:
        versions = [of_version(version, memory_ids) for version, memory_ids in where.past.items() if memory_ids]
        if not versions:
            return None
        must.append(models.Filter(should=versions))
    if first_chunks:
        must.append(models.FieldCondition(key="ordinal", match=models.MatchValue(value=0)))
    excluded = {"app_id": where.exclude_app_ids, "memory_id": where.exclude_memory_ids}
    must_not: list[models.Condition] = [any_of(key, values) for key, values in excluded.items() if values]
    if where.access is not None:
        readable = conditions(where.access, any_of, _nested)
        if readable is None:
            return None
        must += readable[0]
        must_not += readable[1]
    return matching(*must, but=must_not)


def _nested(should: Sequence[models.Condition], must_not: Sequence[models.Condition]) -> models.Condition:
    return models.Filter(should=[*should] or None, must_not=[*must_not] or None)


def prefetches(
    dense: list[float], words: WordVector, allowed: models.Filter, limit: int, fusion: Fusion = FUSION
) -> list[models.Prefetch]:
    """Dense and BM25 search, both filtered, in the order that `fused` reads their scores."""
    depth = max(fusion.depth, limit)
    # Frequencies over all users would let scores tell something of other users' words.
    own_frequencies = models.SearchParams(idf=models.IdfCorpusParams(corpus=allowed))
    return [
        models.Prefetch(query=dense, using=DENSE, filter=allowed, limit=depth),
        models.Prefetch(query=words, using=BM25, filter=allowed, params=own_frequencies, limit=depth),
    ]


def fused(fusion: Fusion = FUSION) -> models.FormulaQuery:
    """`Fusion`'s formula over the scores of `prefetches`."""
    cosine, bm25 = "$score[0]", "$score[1]"
    # max(0, cosine), which servers before 1.20 do not have.
    similar = models.MultExpression(
        mult=[0.5, models.SumExpression(sum=[cosine, models.AbsExpression(abs=cosine)])],
    )
    matched = models.DivExpression(
        div=models.DivParams(left=bm25, right=models.SumExpression(sum=[bm25, fusion.half]), by_zero_default=0.0)
    )
    total = [
        models.MultExpression(mult=[fusion.dense, similar]),
        models.MultExpression(mult=[fusion.bm25, matched]),
    ]
    return models.FormulaQuery(
        formula=models.SumExpression(sum=[*total]), defaults={cosine: fusion.missing_cosine, bm25: 0.0}
    )

"""The collection of an index on a Qdrant server: one for each generation, behind an alias.

An alias names the generation that serves, so that a rebuild can fill the next one beside it and switch in one step.
"""

import re
from collections.abc import Mapping

from contracts.errors import ConfigurationError, Unavailable
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from indexer.scoring import BM25, DENSE

_FORMAT = 1
_OLDEST = (1, 19)
"""The first server that counts word frequencies of one user only. Older ones ignore the parameter silently, and
scores would tell of other users' words."""

_KEYWORD = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD)
_INTEGER = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER)
_TENANT = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
PAYLOAD_INDEXES: Mapping[str, models.KeywordIndexParams | models.IntegerIndexParams] = {
    "uid": _TENANT,
    **dict.fromkeys(("scope", "app_id", "categories", "memory_id"), _KEYWORD),
    **dict.fromkeys(("created_at", "sequence", "ordinal", "version", "epoch"), _INTEGER),
}


def generation_name(alias: str, generation: int, embedder_id: str) -> str:
    """The collection of one generation: `memlog_v1__minilm-l6-v2-53aa51172d14`."""
    return f"{alias}_v{generation}__{re.sub(r'[^A-Za-z0-9.-]+', '-', embedder_id)}"


async def make_collection(
    client: AsyncQdrantClient, collection: str, embedder_id: str, dimension: int, replicas: int = 1
) -> None:
    """Make the collection of a generation. Doing it again, or in several processes at once, changes nothing.

    With `replicas`, a write is answered when every replica that serves has it: the server takes those that fail out of
    service before that, whatever the write consistency factor. So a read of any replica sees it."""
    if not await client.collection_exists(collection):
        try:
            await client.create_collection(
                collection,
                vectors_config={
                    DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE, on_disk=False),
                },
                sparse_vectors_config={BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                # Searches are always of one user: a graph for each large one, none over all of them.
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=16),
                metadata=_meta(embedder_id, dimension),
                # Word frequencies are counted within a shard of the server: several would weigh a user's words by
                # where a text happens to lie. A cluster has copies of the one instead.
                shard_number=1,
                replication_factor=replicas if replicas > 1 else None,
            )
        except UnexpectedResponse:
            if not await client.collection_exists(collection):  # else another process was quicker
                raise
    await _index_payload(client, collection)


async def require_collection(client: AsyncQdrantClient, collection: str, embedder_id: str, dimension: int) -> None:
    """Raises `ConfigurationError` for a server that is too old, and for a collection of another embedder, dimension or
    format (vectors of two embedders never mix); `Unavailable` for one that is not there."""
    await require_version(client)
    if not await client.collection_exists(collection):
        raise Unavailable(f"Qdrant did not answer for the collection '{collection}', which is gone")
    found = (await client.get_collection(collection)).config.metadata or {}
    wanted = _meta(embedder_id, dimension)
    if {key: found.get(key) for key in wanted} != wanted:
        raise ConfigurationError(
            f"the collection '{collection}' was made for {found}, not for {wanted}: rebuild the index"
        )
    await _index_payload(client, collection)


async def _index_payload(client: AsyncQdrantClient, collection: str) -> None:
    known = (await client.get_collection(collection)).payload_schema
    for field, schema in PAYLOAD_INDEXES.items():
        if field not in known:
            await client.create_payload_index(collection, field, schema, wait=True)


def _meta(embedder_id: str, dimension: int) -> models.Payload:
    return {"format": _FORMAT, "embedder": embedder_id, "dimension": dimension}


async def require_version(client: AsyncQdrantClient) -> None:
    """Raises `ConfigurationError` for a server that is too old."""
    version = (await client.info()).version
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        raise Unavailable(f"Qdrant does not say which version it is ({version!r})")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST:
        raise ConfigurationError(f"Qdrant {version} is too old: {_OLDEST[0]}.{_OLDEST[1]} or newer is needed")

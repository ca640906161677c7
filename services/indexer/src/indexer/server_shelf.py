"""Generations on a Qdrant server: a collection each, whose metadata is the register, and an alias for what serves."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from contracts.errors import ConfigurationError, Unavailable
from qdrant_client import AsyncQdrantClient, models

from indexer.embedding.choosing import MINILM
from indexer.index import MemoryIndex
from indexer.qdrant_server import ServerIndex
from indexer.qdrant_server_collection import generation_name, make_collection, require_version
from indexer.qdrant_server_connection import qdrant_errors
from indexer.qdrant_server_query import Words
from indexer.record import Record

_REGISTERED = "generation"
"""The metadata's key; its value is text, so that it is replaced as a whole."""
_VERSION_BEFORE = 1
"""Of collections from before there was a register."""


class ServerShelf:
    """Several processes may have it; which generation serves is asked of the server each time."""

    kind = "qdrant-server"

    def __init__(self, client: AsyncQdrantClient, alias: str, words: Words | None = None, replicas: int = 1) -> None:
        self._client = client
        self._replicas = replicas
        self._alias = alias
        self._words = words

    async def records(self) -> Sequence[Record]:
        """See `Shelf`."""
        with qdrant_errors("say which generations there are"):
            await require_version(self._client)
            serving = await self._behind()
            names = [known.name for known in (await self._client.get_collections()).collections]
            found: list[Record] = []
            for name in names:
                number = self._number(name)
                if number is None:
                    continue
                metadata = (await self._client.get_collection(name)).config.metadata or {}
                # One that is not registered, and does not serve, was being made, or removed, when something ended.
                if name == serving or _REGISTERED in metadata:
                    found.append(_record(number, metadata, name == serving))
        return sorted(found, key=lambda record: record.number)

    async def serving(self) -> int | None:
        """See `Shelf`."""
        with qdrant_errors("say which generation serves"):
            collection = await self._behind()
        return None if collection is None else self._number(collection)

    async def write(self, record: Record) -> None:
        """See `Shelf`."""
        with qdrant_errors("register a generation"):
            name = self._name(record)
            await make_collection(self._client, name, record.embedder, record.dimension, self._replicas)
            await self._register(record)
            if record.state == "serving" and await self._behind() is None:
                await self._point_to(name)

    async def switch(self, record: Record, before: Record) -> None:
        """See `Shelf`. What serves is what the alias names: the rest of the register follows, or is right already."""
        with qdrant_errors("switch to a generation"):
            await self._register(record)
            await self._point_to(self._name(record))
            await self._register(before)

    async def open_index(self, record: Record) -> MemoryIndex:
        """See `Shelf`."""
        name = self._name(record)
        try:
            return await ServerIndex.open(self._client, name, record.embedder, record.dimension, self._words)
        except ConfigurationError as error:
            raise Unavailable(error.message) from error

    async def remove(self, number: int) -> None:
        """See `Shelf`."""
        with qdrant_errors("remove a generation"):
            for known in (await self._client.get_collections()).collections:
                if self._number(known.name) == number:
                    await self._client.delete_collection(known.name)

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _behind(self) -> str | None:
        aliases = (await self._client.get_aliases()).aliases
        return next((known.collection_name for known in aliases if known.alias_name == self._alias), None)

    async def _point_to(self, collection: str) -> None:
        """In one step, whether or not the alias is there."""
        delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._alias))
        create = models.CreateAlias(collection_name=collection, alias_name=self._alias)
        await self._client.update_collection_aliases([delete, models.CreateAliasOperation(create_alias=create)])

    async def _register(self, record: Record) -> None:
        await self._client.update_collection(self._name(record), metadata={_REGISTERED: json.dumps(record.as_json())})

    def _name(self, record: Record) -> str:
        return generation_name(self._alias, record.number, record.embedder)

    def _number(self, collection: str) -> int | None:
        """The number of the generation whose collection this is; None for what is not of this index."""
        found = re.fullmatch(rf"{re.escape(self._alias)}_v(\d+)__.+", collection)
        return None if found is None else int(found[1])


def _record(number: int, metadata: Mapping[str, Any], serves: bool) -> Record:
    if _REGISTERED not in metadata:  # made before there was a register
        now = datetime.now(UTC)
        record = Record(number, "retired", _VERSION_BEFORE, MINILM, metadata["embedder"], metadata["dimension"], now)
    else:
        record = Record.from_json(json.loads(metadata[_REGISTERED]))
    if serves:
        return replace(record, state="serving")
    # The alias was moved, and the register did not follow.
    return replace(record, state="retired") if record.state == "serving" else record

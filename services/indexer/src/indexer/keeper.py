"""The generations of the index (see `runtime.generations.GenerationKeeper`), wherever they are kept, and the one that
searches see."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from contracts.errors import ConfigurationError, Conflict, InvalidInput, MemlogError, NotFound, Unavailable
from contracts.generations import GenerationState
from contracts.streams import INDEX
from runtime.generations import Generation
from runtime.store import ProjectionStore

from indexer.comparing import first_difference, state_hash
from indexer.embedding.cache import VectorCache
from indexer.embedding.choosing import MINILM, EmbedderChoice, EmbedderOptions, SharedEmbeddings
from indexer.embedding.late import LateEmbedding
from indexer.embedding.remembering import Counts, Keys, RememberingEmbedder
from indexer.index import MemoryIndex
from indexer.open_generation import OpenGeneration, OpenGenerations
from indexer.record import INDEX_VERSION, Record
from indexer.shelf import Shelf
from indexer.store import IndexStore

_AGAIN_S = 2.0
_CLOSING_S, _LEVEL_S, _LOOK_S = 10.0, 5.0, 0.02


@dataclass(frozen=True, slots=True)
class Means:
    """What it takes to fill and search a generation. `counts` are those of the cache in this process."""

    options: EmbedderOptions
    shared: SharedEmbeddings
    cache: VectorCache | None
    keys: Keys
    shards: int
    counts: Counts

    def open(self, record: Record, index: MemoryIndex, *, believe: bool = True) -> OpenGeneration:
        """A generation whose store is open. Unless vectors of the cache are to be believed, all are made anew."""
        embedding = LateEmbedding(record.choice, record.embedder, self.shared)
        remembering = RememberingEmbedder(embedding, self.cache, self.keys, self.counts, believe=believe)
        return OpenGeneration(record, index, embedding, IndexStore(index, remembering))


class IndexKeeper:
    """`start` it before all else. `wanted` is the embedder that the settings name; None: they name none."""

    projection = INDEX

    def __init__(self, shelf: Shelf, means: Means, wanted: str | None) -> None:
        self._shelf = shelf
        self._means = means
        self._named = None if wanted is None else means.options.choice(wanted)
        self._known: dict[int, Record] = {}
        self._open = OpenGenerations(self._open_generation)
        self._shown: OpenGeneration | None = None
        self._not_made: str | None = None
        self._tried_at = 0.0

    async def start(self) -> None:
        """Open what serves; make the first generation where there is none. Raises `ConfigurationError` when that
        cannot work; what does not work now is tried again by `watch`."""
        with contextlib.suppress(Unavailable):
            await (await self._show()).index.probe()

    @asynccontextmanager
    async def searchable(self) -> AsyncGenerator[OpenGeneration]:
        """The generation that serves, for one search. Raises `Unavailable` while there is none."""
        number = await self._shelf.serving()
        shown = self._shown
        if shown is None or shown.number != number:
            shown = await self._show()
        shown.users += 1
        try:
            yield shown
        finally:
            await self._open.give_back(shown)

    async def watch(self) -> None:
        """Find out how what serves is, while nobody else asks. Raises no `MemlogError`."""
        with contextlib.suppress(MemlogError):
            async with self.searchable() as shown:
                await shown.index.probe()
                await shown.embedding.probe()

    @property
    def shown(self) -> OpenGeneration | None:
        """What searches see, for health."""
        return self._shown

    @property
    def failure(self) -> str | None:
        """Why it cannot be searched, as far as is known."""
        shown = self._shown
        if shown is None:
            return self._not_made or "the index is being opened"
        if shown.index.failure is not None:
            return f"index: {shown.index.failure}"
        if self.embedder_failure is None and not shown.embedding.opened:
            return "the embedder is being opened"
        return self.embedder_failure and f"embedder {shown.record.embedder}: {self.embedder_failure}"

    @property
    def embedder_failure(self) -> str | None:
        """Why the embedder does not work, which is nobody's fault here: all but searches and new texts goes on."""
        return None if self._shown is None else self._shown.embedding.failure

    async def close(self) -> None:
        """Close all that is open."""
        self._shown = None
        await self._open.close()
        await self._shelf.close()

    async def generations(self) -> list[Generation]:
        """See `GenerationKeeper`."""
        if await self._shelf.serving() is None:
            await self._show()
        return [record.described() for record in await self._records()]

    def stale(self, serving: Generation) -> str | None:
        """See `GenerationKeeper`. One that a person asked for is as it should be with the embedder that was named."""
        if serving.version != INDEX_VERSION:
            return f"it is of version {serving.version}, and this Memlog has version {INDEX_VERSION}"
        record = self._known.get(serving.number)
        if record is None or (record.requested and record.state != "serving"):
            return None
        wanted = self._wanted()
        if record.choice != wanted:
            return f"it was made with the embedder {_told(record.choice)}, and {_told(wanted)} is wanted"
        opened = self._open.get(serving.number)
        return opened.embedding.failure if opened is not None and opened.embedding.replaced else None

    async def create(self, embedder: str | None, hold: bool) -> Generation:
        """See `GenerationKeeper`. Raises `Conflict` when the settings name another embedder."""
        choice = self._wanted() if embedder is None else self._means.options.choice(embedder)
        if self._named not in (None, choice):
            raise Conflict(
                f"MEMLOG_EMBEDDER is set to '{self._named.spec}' and would win at the next start: change it there, or "
                "unset it"
            )
        try:
            opened = await self._means.shared.take(choice)
        except ConfigurationError as error:
            if embedder is None:
                raise
            raise InvalidInput(error.message) from error
        try:
            async with self._open.changing:
                number = max((record.number for record in await self._records()), default=0) + 1
                record = self._new(number, choice, opened.embedder.id, opened.embedder.dimension)
                await self._shelf.remove(number)  # what a register that was lost may have left
                await self._write(replace(record, hold=hold, requested=embedder is not None))
        finally:
            await self._means.shared.give_back(choice)
        return record.described()

    async def note(
        self,
        number: int,
        state: GenerationState,
        *,
        parity: str | None = None,
        difference: str | None = None,
        failure: str | None = None,
    ) -> None:
        """See `GenerationKeeper`."""
        async with self._open.changing:
            record = await self._find(number)
            if record is not None:
                _require_beside(record)
                await self._write(replace(record, state=state, parity=parity, difference=difference, failure=failure))

    def builder(self, number: int, from_scratch: bool) -> tuple[str, ...]:
        """See `GenerationKeeper`. From scratch: the cache is not believed, and filled anew."""
        fill = (sys.executable, "-m", "indexer", "fill", INDEX, str(number))
        return (*fill, "--from-scratch") if from_scratch else fill

    async def open(self, number: int) -> ProjectionStore:
        """See `GenerationKeeper`."""
        async with self._open.changing:
            opened = await self._open.take(number)
            if opened.fed:
                await self._open.leave(opened)
            opened.fed = True
            return opened.store

    async def release(self, number: int) -> None:
        """See `GenerationKeeper`."""
        opened = self._open.get(number)
        if opened is not None and opened.fed:
            opened.fed = False
            await self._open.give_back(opened)

    async def compare(self, number: int) -> str | None:
        """See `GenerationKeeper`."""
        async with self._open.using(await self._serving()) as serving, self._open.using(number) as other:
            ours, theirs = serving.record, other.record
            alike = (ours.version, ours.embedder) == (theirs.version, theirs.embedder)
            difference = await first_difference(serving.index, other.index, self._means.shards, same_vectors=alike)
        if not alike and difference is None:
            raise Conflict(
                f"made with {theirs.embedder} (version {theirs.version}) and {ours.embedder} (version {ours.version}): "
                "all but vectors and texts is equal"
            )
        return difference

    async def switch(self, number: int) -> None:
        """See `GenerationKeeper`. Raises `Unavailable` while its embedder cannot be used: it could not be searched."""
        async with self._open.using(await self._serving()) as before, self._open.using(number) as other:
            await other.embedding.get()
            async with self._open.changing:
                record = await self._find(number)
                if record is None or record.state != "following":
                    raise Conflict(f"generation {number} of the index does not follow")
                await self._require_level(before, other)
                serving = replace(record, state="serving", switched_at=datetime.now(UTC), kept=self._named is None)
                retired = replace(before.record, state="retired")
                await self._shelf.switch(serving, retired)
                before.record, other.record = retired, serving
                await self._records()
            await self._show()

    async def state_hash(self, number: int) -> str:
        """See `GenerationKeeper`."""
        async with self._open.using(number) as opened:
            return await state_hash(opened.index, self._means.shards)

    async def drop(self, number: int) -> None:
        """See `GenerationKeeper`. Raises `Unavailable` when somebody uses it all the while."""
        record = await self._find(number)
        if record is None:
            return
        _require_beside(record)
        deadline = time.monotonic() + _CLOSING_S
        while self._open.get(number) is not None:  # searches that began while it served, comparisons
            if time.monotonic() > deadline:
                raise Unavailable(f"generation {number} of the index is still in use")
            await asyncio.sleep(_LOOK_S)
        async with self._open.changing:
            await self._shelf.remove(number)
            await self._records()

    async def _show(self) -> OpenGeneration:
        """Let searches see what serves."""
        async with self._open.changing, AsyncExitStack() as made:
            if await self._shelf.serving() is None:
                await self._make_first(made)
            number, before = await self._serving(), self._shown
            if before is None or before.number != number:
                self._shown = await self._open.take(number)
                with contextlib.suppress(Unavailable):  # searches will be told why
                    await self._shown.embedding.get()
                if before is not None:
                    await self._open.leave(before)
            assert self._shown is not None
            return self._shown

    async def _make_first(self, made: AsyncExitStack) -> None:
        """Its embedder is let go of at the end of `made`."""
        if self._not_made is not None and time.monotonic() < self._tried_at + _AGAIN_S:
            raise Unavailable(self._not_made)
        choice = self._wanted()
        try:
            opened = await self._means.shared.take(choice)
        except MemlogError as error:
            self._not_made, self._tried_at = f"the index cannot be made: {error.message}", time.monotonic()
            raise
        made.push_async_callback(self._means.shared.give_back, choice)
        record = self._new(1, choice, opened.embedder.id, opened.embedder.dimension)
        await self._write(replace(record, state="serving"))

    async def _open_generation(self, number: int) -> OpenGeneration:
        record = await self._find(number)
        if record is None:
            raise NotFound(f"the index has no generation {number}")
        return self._means.open(record, await self._shelf.open_index(record))

    async def _records(self) -> Sequence[Record]:
        records = await self._shelf.records()
        self._known = {record.number: record for record in records}
        return records

    async def _find(self, number: int) -> Record | None:
        await self._records()
        return self._known.get(number)

    async def _write(self, record: Record) -> None:
        await self._shelf.write(record)
        await self._records()

    async def _serving(self) -> int:
        number = await self._shelf.serving()
        if number is None:
            raise Unavailable(self._not_made or "no generation of the index serves")
        return number

    def _new(self, number: int, choice: EmbedderChoice, embedder: str, dimension: int) -> Record:
        return Record(number, "building", INDEX_VERSION, choice, embedder, dimension, datetime.now(UTC))

    def _wanted(self) -> EmbedderChoice:
        """What the settings name; else what was switched to while they named none; else the default."""
        if self._named is not None:
            return self._named
        return next((each.choice for each in self._known.values() if each.state == "serving" and each.kept), MINILM)

    async def _require_level(self, serving: OpenGeneration, other: OpenGeneration) -> None:
        """Wait until the other one has all that the serving one has: who feeds both writes to that one first. Raises
        `Conflict` when it does not get there, or when one of the two has an owner that does not feed both."""
        deadline = time.monotonic() + _LEVEL_S
        while True:
            ours = [await _place(serving.index, shard) for shard in range(self._means.shards)]
            theirs = [await _place(other.index, shard) for shard in range(self._means.shards)]
            if all(there >= here for (here, _), (there, _) in zip(ours, theirs, strict=True)):
                break
            if time.monotonic() > deadline:
                raise Conflict(f"generation {other.number} of the index is behind the serving one")
            await asyncio.sleep(_LOOK_S)
        for shard, ((_, epoch), (_, its)) in enumerate(zip(ours, theirs, strict=True)):
            if epoch != its:
                raise Conflict(f"generation {other.number} of the index is not fed in shard {shard}")


async def _place(index: MemoryIndex, shard: int) -> tuple[int, int]:
    """How far it is, and the epoch that claimed it."""
    checkpoint = await index.checkpoint(shard)
    return 0 if checkpoint is None else checkpoint.position.sequence, await index.epoch(shard)


def _require_beside(record: Record) -> None:
    if record.state == "serving":
        raise Conflict(f"generation {record.number} of the index serves")


def _told(choice: EmbedderChoice) -> str:
    return choice.spec if choice.base_url is None else f"{choice.spec} at {choice.base_url}"

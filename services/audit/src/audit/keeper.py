"""The generations of a projection in PostgreSQL, a schema each (see `runtime.generations.GenerationKeeper`)."""

import asyncio
import sys
from collections.abc import Callable

from contracts.errors import Conflict, InvalidInput, NotFound, Unavailable
from contracts.generations import GenerationState
from runtime.generations import Generation as Described
from runtime.postgres import Connection, Executor, Pool, postgres_errors
from runtime.store import ProjectionStore

from audit.comparing import first_difference, row_counts, state_hash
from audit.generations import Generation
from audit.register import REGISTER, Entry, changing, create, drop, entries
from audit.schema import drop_retired_views, make_views, show
from audit.store import PostgresStore

_LEVEL_S = 5.0
_LOOK_S = 0.01
_SERVING_ROWS = "SELECT shard, sequence, epoch FROM {schema}.positions ORDER BY shard {lock}"


class PostgresKeeper:
    """`feeding` is the pool of the stores, `pool` one whose queries may scan and join as they like."""

    def __init__(self, pool: Pool, feeding: Pool, make: Callable[[int], Generation]) -> None:
        self.projection = make(1).projection
        self._pool = pool
        self._feeding = feeding
        self._make = make

    async def generations(self) -> list[Described]:
        """See `GenerationKeeper`."""
        return [entry.generation for entry in await entries(self._pool, self.projection)]

    def stale(self, serving: Described) -> str | None:
        """See `GenerationKeeper`."""
        version = self._make(serving.number).version
        if serving.version == version:
            return None
        return f"version {serving.version} serves, and this Memlog has version {version}"

    async def create(self, embedder: str | None, hold: bool) -> Described:
        """See `GenerationKeeper`."""
        if embedder is not None:
            raise InvalidInput(f"{self.projection} has no embedder; only the index is rebuilt with another one")
        async with changing(self._pool) as connection:
            taken = [entry.number for entry in await entries(connection, self.projection)]
            return await create(connection, self._make(max(taken, default=0) + 1), "building", hold=hold)

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
        async with changing(self._pool) as connection:
            entry = await self._find(connection, number)
            if entry is not None and entry.serves:
                raise Conflict(f"generation {number} of {self.projection} serves")
            await connection.execute(
                f"UPDATE {REGISTER} SET state = $3, parity = $4, difference = $5, failure = $6 "
                "WHERE projection = $1 AND number = $2",
                *(self.projection, number, state, parity, difference, failure),
            )

    def builder(self, number: int, from_scratch: bool) -> tuple[str, ...]:
        """See `GenerationKeeper`. There is nothing that could be kept of an earlier one."""
        return sys.executable, "-m", "audit", "fill", self.projection, str(number)

    async def open(self, number: int) -> ProjectionStore:
        """See `GenerationKeeper`. Raises `Conflict` for one whose tables this code cannot feed."""
        entry = await self._entry(self._pool, number)
        generation = self._make(number)
        if entry.fingerprint != generation.fingerprint:
            raise Conflict(
                f"generation {number} of {self.projection} has the tables of another version, which this Memlog "
                "cannot write"
            )
        return PostgresStore(self._feeding, generation)

    async def release(self, number: int) -> None:
        """See `GenerationKeeper`. A store holds nothing of its own."""

    async def compare(self, number: int) -> str | None:
        """See `GenerationKeeper`."""
        serving, other = await self._pair(self._pool, number)
        with postgres_errors():
            async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
                # The snapshot is taken by the first query, while the serving one is held where the other one is too.
                async with self._pool.acquire() as holding, holding.transaction():
                    await self._hold_level(holding, serving, other)
                    await connection.fetchval("SELECT 1")
                if _alike(serving, other):
                    return await first_difference(connection, serving.schema, other.schema, serving.tables)
                counts = await row_counts(connection, serving, other)
        raise Conflict(f"they are of different versions and not compared row by row; rows: {counts}")

    async def switch(self, number: int) -> None:
        """See `GenerationKeeper`."""
        async with changing(self._pool) as connection:
            serving, other = await self._pair(connection, number)
            if other.generation.state != "following":
                raise Conflict(f"generation {number} of {self.projection} is {other.generation.state}, not following")
            rows = await self._hold_level(connection, serving, other)
            fed_together = await self._positions(connection, other, "")
            for shard, (_, epoch) in rows.items():
                if fed_together.get(shard, (0, -1))[1] != epoch:
                    raise Conflict(f"generation {number} of {self.projection} is not fed in shard {shard}")
            await show(connection, self.projection, number)
            await make_views(connection)
        await drop_retired_views(self._pool)

    async def drop(self, number: int) -> None:
        """See `GenerationKeeper`."""
        await drop_retired_views(self._pool)
        async with changing(self._pool) as connection:
            entry = await self._find(connection, number)
            if entry is None:
                return
            if entry.serves:
                raise Conflict(f"generation {number} of {self.projection} serves; switch to another one first")
            await drop(connection, entry.schema)

    async def state_hash(self, number: int) -> str:
        """See `GenerationKeeper`."""
        entry = await self._entry(self._pool, number)
        models = [model for model in self._make(number).read_models if model.name in entry.tables]
        with postgres_errors():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await state_hash(connection, entry.schema, models)

    async def _hold_level(self, connection: Connection, serving: Entry, other: Entry) -> dict[int, tuple[int, int]]:
        """Keep the serving generation where it is until the transaction ends, and wait until the other one is there
        too: who feeds both writes to the serving one first. Returns position and epoch by shard. Raises `Conflict` when
        the other one does not get there."""
        held = await self._positions(connection, serving, "FOR UPDATE")
        deadline = asyncio.get_running_loop().time() + _LEVEL_S
        while True:
            reached = await self._positions(connection, other, "")
            if all(reached.get(shard, (0, 0))[0] >= at for shard, (at, _) in held.items()):
                # Its rows too, before they are looked at once more: nobody claims it from here on.
                await self._positions(connection, other, "FOR UPDATE")
                return held
            if asyncio.get_running_loop().time() > deadline:
                raise Conflict(
                    f"generation {other.number} of {self.projection} is behind the serving one: {_sequences(reached)} "
                    f"instead of {_sequences(held)}"
                )
            await asyncio.sleep(_LOOK_S)

    async def _positions(self, connection: Connection, entry: Entry, lock: str) -> dict[int, tuple[int, int]]:
        rows = await connection.fetch(_SERVING_ROWS.format(schema=entry.schema, lock=lock))
        return {row["shard"]: (row["sequence"], row["epoch"]) for row in rows}

    async def _pair(self, executor: Executor, number: int) -> tuple[Entry, Entry]:
        """The serving generation and this one."""
        found = {entry.number: entry for entry in await entries(executor, self.projection)}
        serving = next((entry for entry in found.values() if entry.serves), None)
        if serving is None:
            raise Unavailable(f"no generation of {self.projection} serves")
        if number not in found or number == serving.number:
            raise Conflict(f"there is no generation {number} of {self.projection} beside the serving one")
        return serving, found[number]

    async def _entry(self, executor: Executor, number: int) -> Entry:
        entry = await self._find(executor, number)
        if entry is None:
            raise NotFound(f"{self.projection} has no generation {number}")
        return entry

    async def _find(self, executor: Executor, number: int) -> Entry | None:
        return next((entry for entry in await entries(executor, self.projection) if entry.number == number), None)


def _alike(serving: Entry, other: Entry) -> bool:
    return (serving.fingerprint, serving.generation.version) == (other.fingerprint, other.generation.version)


def _sequences(positions: dict[int, tuple[int, int]]) -> str:
    return ", ".join(f"{shard}-{sequence}" for shard, (sequence, _) in positions.items()) or "nowhere"

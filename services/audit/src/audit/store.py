"""The store of a projection in PostgreSQL: rows and position in one transaction, fenced by the owner's epoch."""

from collections.abc import Sequence

from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict, Unavailable
from contracts.positions import Checkpoint, Position
from contracts.subjects import Aggregate
from runtime.postgres import Connection, Pool, postgres_errors

from audit.batching import group
from audit.generations import Generation

_CHECKPOINT = "SELECT sequence, event_id, sha256 FROM {schema}.positions WHERE projection = $1 AND shard = $2"

_CLAIM = """
    INSERT INTO {schema}.positions AS p (projection, shard, epoch) VALUES ($1, $2, $3)
    ON CONFLICT (projection, shard) DO UPDATE SET epoch = excluded.epoch WHERE p.epoch <= excluded.epoch
    RETURNING p.sequence
"""

# The usual case in one round trip: ours, all of the batch is new, and nothing that we committed was lost.
_ADVANCE = """
    UPDATE {schema}.positions SET sequence = $4, event_id = $5, sha256 = $6, epoch = $3
    WHERE projection = $1 AND shard = $2 AND epoch <= $3 AND sequence < $7 AND sequence >= $8
    RETURNING sequence
"""

_LOCK = "SELECT sequence, epoch FROM {schema}.positions WHERE projection = $1 AND shard = $2 FOR UPDATE"


class PostgresStore:
    """A `runtime.store.ProjectionStore` over one generation of read models, which must be installed.

    Only the owner calls it: `claim`, then `checkpoint`, then `apply` from there on; after any error again from
    `checkpoint`. The pool should have the settings
    `runtime.postgres.DERIVED_STORE`. All methods raise `Unavailable` when PostgreSQL does not answer, and
    `StatementRefused` when a batch cannot be applied whatever the moment: then nothing of it was.
    """

    def __init__(self, pool: Pool, generation: Generation) -> None:
        self._pool = pool
        self._generation = generation
        self._committed: dict[int, int] = {}
        self._sql: dict[tuple[str, str], str] = {}

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        """See `ProjectionStore`. The caller goes on from here: a batch that does not join it is refused."""
        with postgres_errors():
            row = await self._pool.fetchrow(self._own(_CHECKPOINT), self._generation.projection, shard)
        self._committed[shard] = 0 if row is None else row["sequence"]
        if row is None or row["sequence"] == 0:
            return None
        return Checkpoint(Position(shard, row["sequence"]), row["event_id"], row["sha256"])

    async def claim(self, shard: int, epoch: int) -> None:
        """See `ProjectionStore`. Raises `ConcurrencyConflict` when a newer epoch has claimed it already."""
        with postgres_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                # The one commit that must survive a crash: without it an older owner would be let in again.
                await connection.execute("SET LOCAL synchronous_commit = on")
                name = self._generation.projection
                sequence = await connection.fetchval(self._own(_CLAIM), name, shard, epoch)
        if sequence is None:
            raise self._lost(shard, epoch)

    async def apply(self, batch: Sequence[Recorded], epoch: int) -> None:
        """See `ProjectionStore`. Also raises `Unavailable` when the server came back from a crash without batches
        that this owner had committed: going on would leave a gap, going back to `checkpoint` does not."""
        if not batch:
            return
        shard = batch[-1].position.shard
        with postgres_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                if not await self._advance(connection, batch, epoch):
                    batch = await self._unseen(connection, batch, epoch)
                    if not batch:
                        return
                    await self._advance(connection, batch, epoch)
                await self._execute(connection, batch)
        self._committed[shard] = batch[-1].position.sequence

    async def refold(self, aggregate: Aggregate, history: Sequence[Recorded], epoch: int) -> None:
        """See `ProjectionStore`."""
        shard = history[-1].position.shard
        with postgres_errors():
            async with self._pool.acquire() as connection, connection.transaction():
                row = await connection.fetchrow(self._own(_LOCK), self._generation.projection, shard)
                if row is not None and row["epoch"] > epoch:
                    raise self._lost(shard, epoch)
                for model in self._generation.read_models:
                    column = model.identity.get(aggregate.kind)
                    if column is not None:
                        delete = f"DELETE FROM {{table}} WHERE uid = $1 AND {column} = $2"
                        await connection.execute(self._of_table(model.name, delete), aggregate.uid, aggregate.id)
                await self._execute(connection, history)

    async def _advance(self, connection: Connection, batch: Sequence[Recorded], epoch: int) -> bool:
        """Move the position behind the batch, which locks its row; False when the batch is not simply the next."""
        first, last = batch[0], batch[-1]
        shard, known = last.position.shard, self._committed.get(last.position.shard, 0)
        moved = await connection.fetchval(
            self._own(_ADVANCE),
            *(self._generation.projection, shard, epoch, last.position.sequence, last.meta.id, last.sha256),
            *(first.position.sequence, known),
        )
        return moved is not None

    async def _unseen(self, connection: Connection, batch: Sequence[Recorded], epoch: int) -> Sequence[Recorded]:
        """The events of the batch that were not applied yet, with the position's row locked."""
        shard, name = batch[-1].position.shard, self._generation.projection
        row = await connection.fetchrow(self._own(_LOCK), name, shard)
        if row is None:  # never claimed, or the server came back from a crash without it
            await connection.fetchval(self._own(_CLAIM), name, shard, epoch)
            row = await connection.fetchrow(self._own(_LOCK), name, shard)
        stored, owner = (0, epoch) if row is None else (row["sequence"], row["epoch"])
        if owner > epoch:
            raise self._lost(shard, epoch)
        committed = self._committed.get(shard, 0)
        if stored < committed:
            raise Unavailable(
                f"{self._generation.schema} stands at {stored} of shard {shard} and had reached {committed}: "
                "PostgreSQL came back from a crash; resume from the checkpoint"
            )
        return [event for event in batch if event.position.sequence > stored]

    async def _execute(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        models = self._generation.read_models
        statements = (statement for event in batch for model in models for statement in model.apply(event))
        for rows in group(statements):
            await connection.execute(self._of_table(rows.table, rows.sql), rows.json())

    def _own(self, sql: str) -> str:
        return self._of_table("", sql)

    def _of_table(self, table: str, sql: str) -> str:
        """The SQL with this generation's names in it; kept, since it is the same for every batch."""
        found = self._sql.get((table, sql))
        if found is None:
            schema = self._generation.schema
            found = self._sql[table, sql] = sql.format(schema=schema, table=f"{schema}.{table}")
        return found

    def _lost(self, shard: int, epoch: int) -> ConcurrencyConflict:
        return ConcurrencyConflict(
            f"epoch {epoch} of {self._generation.projection} {shard} is over: a newer owner has claimed it"
        )

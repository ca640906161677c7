"""The store of a projection in PostgreSQL: rows and position in one transaction, fenced by the owner's epoch."""

from collections.abc import Sequence

from contracts.codec import Recorded
from contracts.errors import ConcurrencyConflict, LogNotTrusted, Unavailable
from contracts.positions import Checkpoint, Position
from contracts.streams import is_truth
from contracts.subjects import Aggregate
from runtime.postgres import Connection, Executor, Pool, postgres_errors
from runtime.spans import transaction

from audit.batching import group
from audit.chain import Head, genesis, rows
from audit.generations import Generation
from audit.projections import trail

_CHECKPOINT = "SELECT sequence, event_id, sha256 FROM {schema}.positions WHERE projection = $1 AND shard = $2"

_CLAIM = """
    INSERT INTO {schema}.positions AS p (projection, shard, epoch) VALUES ($1, $2, $3)
    ON CONFLICT (projection, shard) DO UPDATE SET epoch = excluded.epoch WHERE p.epoch <= excluded.epoch
    RETURNING p.sequence
"""

# The usual case in one round trip: ours, all of the batch is new, and nothing that we committed was lost.
_ADVANCE = """
    UPDATE {schema}.positions SET sequence = $4, event_id = $5, sha256 = $6, epoch = $3
    WHERE projection = $1 AND shard = $2 AND epoch <= $3 AND sequence = $7
    RETURNING sequence
"""

_KEEP_S = 600.0
_HEAD = "SELECT chain FROM {table} WHERE shard = $1 AND sequence = $2"
_LAST_UP_TO = "SELECT sequence, chain FROM {table} WHERE shard = $1 AND sequence <= $2 ORDER BY sequence DESC LIMIT 1"
_KEEP = f"""
    INSERT INTO {{table}} ({trail.COLUMNS}) SELECT {trail.COLUMNS} FROM memlog.{{name}}
    WHERE shard = $1 AND sequence > $2 AND sequence <= $3 ON CONFLICT DO NOTHING
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
        self._trail = next((m.name for m in generation.read_models if m.name in trail.STREAMS), None)
        self._heads: dict[int, Head] = {}
        self._sql: dict[tuple[str, str], str] = {}

    async def checkpoint(self, shard: int) -> Checkpoint | None:
        """See `ProjectionStore`. The caller goes on from here: a batch that does not join it is refused. Raises
        `LogNotTrusted` when the audit row of the position is gone, so that the chain cannot go on."""
        with postgres_errors():
            row = await self._pool.fetchrow(self._own(_CHECKPOINT), self._generation.projection, shard)
            self._heads[shard] = await self._head(self._pool, shard, 0 if row is None else row["sequence"])
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
        with postgres_errors(), transaction(self._generation.schema, len(batch)):
            async with self._pool.acquire() as connection, connection.transaction():
                head = self._heads.get(shard)
                if head is None or not await self._advance(connection, batch, epoch, head.sequence):
                    head, batch = await self._unseen(connection, batch, epoch)
                    if not batch:
                        return
                    await self._advance(connection, batch, epoch, head.sequence)
                chain = await self._record(connection, batch, head)
                await self._execute(connection, batch)
        self._heads[shard] = Head(batch[-1].position.sequence, chain)

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

    async def _advance(self, connection: Connection, batch: Sequence[Recorded], epoch: int, known: int) -> bool:
        """Move the position from `known` to behind the batch, which locks its row; False when it does not stand there,
        or the batch is not what follows."""
        first, last = batch[0].position, batch[-1]
        if first.sequence <= known:
            return False
        moved = await connection.fetchval(
            self._own(_ADVANCE),
            *(
                self._generation.projection,
                first.shard,
                epoch,
                last.position.sequence,
                last.meta.id,
                last.sha256,
                known,
            ),
        )
        return moved is not None

    async def _unseen(
        self, connection: Connection, batch: Sequence[Recorded], epoch: int
    ) -> tuple[Head, Sequence[Recorded]]:
        """Where the store stands, and the events of the batch that were not applied yet, with the position's row
        locked."""
        shard, name = batch[-1].position.shard, self._generation.projection
        row = await connection.fetchrow(self._own(_LOCK), name, shard)
        if row is None:  # never claimed, or the server came back from a crash without it
            await connection.fetchval(self._own(_CLAIM), name, shard, epoch)
            row = await connection.fetchrow(self._own(_LOCK), name, shard)
        stored, owner = (0, epoch) if row is None else (row["sequence"], row["epoch"])
        if owner > epoch:
            raise self._lost(shard, epoch)
        committed = self._heads.get(shard, Head(0, "")).sequence
        if stored < committed:
            raise Unavailable(
                f"{self._generation.schema} stands at {stored} of shard {shard} and had reached {committed}: "
                "PostgreSQL came back from a crash; resume from the checkpoint"
            )
        head = await self._head(connection, shard, stored)
        return head, [event for event in batch if event.position.sequence > stored]

    async def _head(self, executor: Executor, shard: int, sequence: int) -> Head:
        """The audit chain at a position of this store."""
        if self._trail is None:
            return Head(sequence, "")
        if sequence == 0:
            return genesis(trail.STREAMS[self._trail](shard).name)
        chain = await executor.fetchval(self._of_table(self._trail, _HEAD), shard, sequence)
        if chain is None:
            raise LogNotTrusted(
                f"the audit row at {sequence} of shard {shard} is gone from {self._generation.schema}.{self._trail}: "
                "somebody removed it. Build the derived stores again from the log"
            )
        return Head(sequence, chain)

    async def _record(self, connection: Connection, batch: Sequence[Recorded], head: Head) -> str:
        """Write the audit rows of a batch; returns the chain behind it."""
        if self._trail is None:
            return ""
        if batch[0].position.sequence > head.sequence + 1:
            head = await self._aged(connection, self._trail, batch[0].position, head)
        found = list(rows(head, (event for event in batch if event.position.sequence > head.sequence)))
        for each in group(trail.statement(self._trail, row) for row in found):
            await connection.execute(self._of_table(each.table, each.sql), each.json())
        return found[-1].chain if found else head.chain

    async def _aged(self, connection: Connection, table: str, first: Position, head: Head) -> Head:
        """Reads that have aged out of their stream, up to the first that is there (or that stands for them): their rows
        are kept, from the generation that serves, and the chain goes on from them."""
        if is_truth(trail.STREAMS[table](first.shard).name):
            return head
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"memlog.{table}"):
            keep = self._of_table(table, _KEEP.replace("{name}", table))
            await connection.execute(keep, first.shard, head.sequence, first.sequence, timeout=_KEEP_S)
        row = await connection.fetchrow(self._of_table(table, _LAST_UP_TO), first.shard, first.sequence)
        return head if row is None else Head(row["sequence"], row["chain"])

    async def _execute(self, connection: Connection, batch: Sequence[Recorded]) -> None:
        models = self._generation.read_models
        statements = (statement for event in batch for model in models for statement in model.apply(event))
        for each in group(statements):
            await connection.execute(self._of_table(each.table, each.sql), each.json())

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

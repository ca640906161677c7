"""A stream with its audit rows, as a real server and the real projection leave them, to be changed by tests."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from audit.chain import AuditRow, Head, genesis, link
from audit.generations import Generation
from audit.projections import trail
from audit.schema import install
from audit.store import PostgresStore
from audit.verification import StreamVerifier, against
from contracts import subjects
from contracts.codec import encode
from contracts.events import MemoriesRead, ReadItem
from contracts.verification import ChainHead, Difference
from runtime.event_store import StoredMessage
from runtime.postgres import Pool
from runtime.projection import ProjectionRunner
from support.log_events import UID, added, meta_of, new_event
from support.servers import Log, eventually, running

INCARNATION = "f" * 32


@dataclass(frozen=True, slots=True)
class Audited:
    """Messages and rows of a stream, by their order."""

    stream: str
    messages: tuple[StoredMessage, ...]
    rows: tuple[AuditRow, ...]

    def verify(self, page: int = 1_000_000) -> Difference | None:
        """As the audit verifies it, `page` sequences at a time."""
        verifier = StreamVerifier(self.stream, 0)
        everything = [*self.messages, *self.rows]
        last = max((each.sequence for each in everything), default=0)
        for start in range(0, last, page):
            difference = verifier.compare(
                [message for message in self.messages if start < message.sequence <= start + page],
                [row for row in self.rows if start < row.sequence <= start + page],
            )
            if difference is not None:
                return difference
        return verifier.end()

    def anchored(self, heads: Sequence[ChainHead]) -> Difference | None:
        """The first head that does not fit."""
        chains = {row.sequence: row.chain for row in self.rows}
        last = self.messages[-1].sequence if self.messages else 0
        found = (against(head, INCARNATION, chains.get(head.sequence), last) for head in heads)
        return next((difference for difference in found if difference is not None), None)

    def head(self, sequence: int) -> ChainHead:
        chain = genesis(self.stream).chain if sequence == 0 else self.rows[sequence - 1].chain
        return ChainHead(stream=self.stream, shard=0, incarnation=INCARNATION, sequence=sequence, head=chain)


def chained_anew(stream: str, rows: Sequence[AuditRow]) -> tuple[AuditRow, ...]:
    """The rows with a chain that fits them: what somebody does who knows how it is made."""
    head: Head = genesis(stream)
    found: list[AuditRow] = []
    for row in rows:
        head = Head(row.sequence, link(head.chain, row.sequence, row.sha256))
        found.append(replace(row, chain=head.chain))
    return tuple(found)


# -- a real one ------------------------------------------------------------------------------------------------------

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


async def write_odd_log(log: Log) -> None:
    """Memories, and among them what no honest writer would append: each has to have its row."""
    key = await log.keys.create(UID)
    for start in range(0, 40, 10):
        wave = [
            new_event(subjects.memory(UID, f"m-{n}"), event=added(f"m-{n}"), key=key, trace=HEADERS if n % 3 else {})
            for n in range(start, start + 10)
        ]
        await log.events.append(wave)
    odd = json.loads(encode(meta_of("odd"), added("odd"), key))
    for number, raw in enumerate(
        (
            b"\xff not JSON",
            json.dumps(odd | {"type": "FromTheFuture", "actor": "nul \x00"}).encode(),
            json.dumps(odd | {"uid": "u" * 5000, "occurred_at": "2025-01-01T00:00:00"}).encode(),
            json.dumps(odd | {"occurred_at": "0001-01-01T00:00:00+14:00", "sealed": "AAAA"}).encode(),
        )
    ):
        await log.js.publish(subjects.event_subject(0, subjects.memory(UID, f"odd-{number}")), raw)
    await log.events.append([new_event(subjects.memory(UID, "last"), event=added("last"), key=key)])
    for n in range(30):
        read = MemoriesRead(kind="list", items=(ReadItem(id=f"m-{n}", rank=1),))
        raw = encode(meta_of(f"read-{n}"), read, key)
        await log.js.publish(subjects.access_subject(0, UID, "app"), raw, headers=HEADERS if n % 2 else None)


async def project(
    log: Log,
    pool: Pool,
    make: Callable[[int], Generation],
    stream: str,
    last: int,
    *,
    beside: int | None = None,
    epoch: int = 1,
) -> PostgresStore:
    """Fill the generation that serves (or another, that stands beside it) up to a sequence."""
    store = PostgresStore(pool, await install(pool, make) if beside is None else make(beside))
    name = make(1).projection
    runner = ProjectionRunner(name, 0, stream, store, log.client, log.js, log.events, log.keys, 17)
    async with running(runner.run(epoch)):
        await eventually(lambda: runner.status.checkpoint and runner.status.checkpoint.position.sequence == last)
    return store


async def audited(log: Log, pool: Pool, stream: str, table: str) -> Audited:
    messages, _ = await log.events.read_page(stream, ">", 1, 500)
    found = await pool.fetch(f"SELECT {trail.COLUMNS} FROM memlog.{table} ORDER BY sequence")
    return Audited(stream, tuple(messages), tuple(trail.audit_row(row) for row in found))

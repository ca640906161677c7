"""The audit trail of reads: an access event is durable before the answer leaves (G7)."""

from collections.abc import Sequence
from typing import Literal

from contracts import ids, subjects
from contracts.codec import Meta, encode
from contracts.events import MemoriesRead, ReadItem
from contracts.streams import access
from nats.js import JetStreamContext
from runtime.clock import utc_now
from runtime.errors import nats_errors
from runtime.metrics import READS
from runtime.server_health import ServerHealth
from runtime.spans import sending
from runtime.telemetry import trace_headers

from gateway.use_cases.commanding import Principal

ReadKind = Literal["search", "list", "get", "history", "export", "stream"]


class AuditTrail:
    """Records reads on the stream MEMLOG_ACCESS."""

    def __init__(self, js: JetStreamContext, shards: int, server: ServerHealth | None = None) -> None:
        self._js = js
        self._server = server or ServerHealth(None)
        self._shards = shards

    async def record(
        self,
        principal: Principal,
        kind: ReadKind,
        found: Sequence[tuple[str, float | None]],
        query: str | None = None,
    ) -> None:
        """Write down what is about to be returned: (memory id, score) in rank order. Returns once it is durable;
        raises `Unavailable` otherwise, and then nothing may be answered."""
        access_id = ids.uuid7()
        meta = Meta(
            id=access_id,
            uid=principal.uid,
            app=principal.app_id,
            actor=principal.actor,
            occurred_at=utc_now(),
            correlation_id=access_id,
            causation_id=access_id,
        )
        items = tuple(ReadItem(id=id_, rank=rank, score=score) for rank, (id_, score) in enumerate(found, start=1))
        event = MemoriesRead(kind=kind, items=items, query=query)
        shard = subjects.shard_of(principal.uid, self._shards)
        async with self._server.explained():
            doing = "record this read, so it is not answered"
            with nats_errors(doing), sending(access(shard).name, event.type):
                await self._js.publish(
                    subjects.access_subject(shard, principal.uid, principal.app_id),
                    encode(meta, event, principal.key),
                    headers=trace_headers(),
                )
        READS.add(1, {"kind": kind})

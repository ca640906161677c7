"""Texts that memories were made of: finding facts anew in those that were kept, through the path that they came."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from contracts import ids, subjects
from contracts.api import Reprocessing
from contracts.codec import read_envelope
from contracts.commands import ReprocessText
from contracts.errors import Conflict, InvalidInput, NotFound
from contracts.events import TextReceived
from contracts.streams import events as events_stream
from runtime.event_store import EventStore
from runtime.postgres import Pool, postgres_errors

from gateway.service import Caller
from gateway.use_cases.commanding import Commanding, Principal
from gateway.use_cases.identity import Identities

_PAGE = 512
_AT_ONCE = 32
_ENDED = """
    SELECT status, count(*) AS number FROM memlog.operations WHERE uid = $1 AND command_id = ANY($2) GROUP BY status
"""
_LAST_MS = 253_402_300_799_000
"""The last second of the year 9999: no time of ours is later."""


class Sources:
    """A run of reprocessing is a UUIDv7: it covers what was there at its time, and its commands' ids derive from it, so
    that sending it again, or asking how far it is, needs nothing to be kept."""

    def __init__(
        self, identities: Identities, commanding: Commanding, log: EventStore, pool: Pool, infers: Callable[[], bool]
    ) -> None:
        self._identities = identities
        self._commanding = commanding
        self._log = log
        self._pool = pool
        self._infers = infers

    async def reprocess(
        self, caller: Caller, *, since: datetime | None, source_id: str | None, run: str | None
    ) -> Reprocessing:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        if not self._infers():
            raise Conflict("no language model is configured that could read the texts: see MEMLOG_LLM")
        run = run or ids.uuid7()
        sources = await self._sources(principal, since, source_id, run)
        for start in range(0, len(sources), _AT_ONCE):
            part = sources[start : start + _AT_ONCE]
            await asyncio.gather(*(self._send(principal, source, run) for source in part))
        return await self._progress(principal, sources, run)

    async def reprocessing(
        self, caller: Caller, run: str, *, since: datetime | None, source_id: str | None
    ) -> Reprocessing:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        return await self._progress(principal, await self._sources(principal, since, source_id, run), run)

    async def _send(self, principal: Principal, source_id: str, run: str) -> None:
        command = ReprocessText(source_id=source_id)
        await self._commanding.send(principal, command, idempotency_key=_key(run, source_id), wait="accepted")

    async def _sources(
        self, principal: Principal, since: datetime | None, source_id: str | None, run: str
    ) -> list[str]:
        """The texts that a run covers, oldest first. Raises `NotFound` for a single one that is not there."""
        until = _began(run)
        shard = subjects.shard_of(principal.uid, self._log.shards)
        stream = events_stream(shard).name
        if source_id is None:
            subject = subjects.sources_of_user(shard, principal.uid)
        else:
            subject = subjects.event_subject(shard, subjects.source(principal.uid, source_id))
        found: list[str] = []
        at, more = 0, True
        while more:
            page, pending = await self._log.read_page(stream, subject, at + 1, _PAGE)
            for message in page:
                meta, type_ = read_envelope(message.data)
                in_time = message.recorded_at <= until and (since is None or meta.occurred_at >= since)
                if type_ == TextReceived.type and in_time:
                    found.append(message.subject.rsplit(".", 1)[-1])
            more = bool(page) and pending > 0
            at = page[-1].sequence if page else at
        if source_id is not None and not found:
            raise NotFound(f"source {source_id} was not found")
        return found

    async def _progress(self, principal: Principal, sources: list[str], run: str) -> Reprocessing:
        commands = [ids.command_id_for_key(principal.uid, f"key:{_key(run, source)}") for source in sources]
        with postgres_errors():
            rows = await self._pool.fetch(_ENDED, principal.uid, commands)
        ended: dict[str, int] = {row["status"]: row["number"] for row in rows}
        return Reprocessing(run=run, total=len(sources), done=sum(ended.values()), failed=ended.get("refused", 0))


def _key(run: str, source_id: str) -> str:
    return f"memlog:reprocess:{run}:{source_id}"


def _began(run: str) -> datetime:
    number = uuid.UUID(ids.parse_uuid(run, "run"))
    milliseconds = number.int >> 80
    if number.version != 7 or milliseconds > _LAST_MS:
        raise InvalidInput(f"'{run}' is not a run: leave it out to begin one, or pass the one that was returned")
    return datetime.fromtimestamp((milliseconds + 1) / 1000, UTC)

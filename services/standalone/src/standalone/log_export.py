"""`memlog export`, without the command line: every event of the log in the clear, in order, in flat memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Literal

from contracts import ids
from contracts.codec import Undecodable, unseal
from contracts.errors import ConfigurationError, ContentDamaged, KeyMissing
from contracts.streams import access, events
from gateway.asking import OWNER_APP
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Principal
from runtime.event_store import StoredMessage
from runtime.keys import KeyStore, MasterKey, SealingKey
from runtime.log_checks import require_next
from runtime.stream_reading import RECORDED_AT, first_recorded_at, own_headers, pages
from runtime.wrapped_keys import read_all

from standalone.backup_streams import Show
from standalone.export_file import End, ExportReader, ExportWriter, Header, User, message_line
from standalone.failures import file_errors
from standalone.files import appearing
from standalone.log_access import LogAccess, reach_log

_ACTOR = "cli"
_Kind = Literal["event", "access"]


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that was made. `unopened`: messages that are in it as they are stored, because nothing opens them."""

    end: End
    unopened: int


async def export_log(
    home: Path | None, nats_url: str | None, to: Path | BinaryIO, show: Show, *, with_accesses: bool = False
) -> Exported:
    """Write the log into a new file, which has its name once it was read back, or to an open one. Memlog may run
    meanwhile; what comes after the beginning is left out. Each read of a memory is on the audit trail first (G7).

    Raises `FileUnusable`, `ConfigurationError` (the master key), `NoLog`, `LogNotTrusted`, `Unavailable`.
    """
    async with reach_log(home, nats_url) as log:
        if not isinstance(to, Path):
            return await write_export(log, to, show, with_accesses=with_accesses)
        with file_errors(to), appearing(to) as (opened, temporary):
            done = await write_export(log, opened, show, with_accesses=with_accesses)
            advance = show("Verifying", opened.tell())
            opened.seek(0)
            for _, size in ExportReader(opened, str(temporary)).lines():
                advance(size)
            return done


async def write_export(
    log: LogAccess, file: BinaryIO, show: Show, *, with_accesses: bool, audited: bool = True
) -> Exported:
    """See `export_log`. Not `audited`: nothing of it leaves."""
    path = log.server.master_key_file
    if path is None:
        raise ConfigurationError("MEMLOG_MASTER_KEY_FILE is not set: content is sealed and needs it")
    keys = KeyStore(log.js, MasterKey.load(path))
    await keys.check_master()
    shards = range(log.shards)
    last_events = [await log.events.last_sequence(events(shard).name) for shard in shards]
    last_accesses = [await log.events.last_sequence(access(shard).name) for shard in shards]
    # After the events: each of them has its user's key in it.
    wrapped, _ = await read_all(log.js, log.events)
    header = Header(
        memlog=version("memlog-standalone"),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        shards=log.shards,
        incarnations=[identity.incarnation for identity in log.identities],
        last_sequences=last_events,
        with_accesses=with_accesses,
    )
    writer = ExportWriter(file, header)
    for uid in sorted(wrapped):
        writer.add(User(uid=uid, identity=(await keys.get(uid)).identity.hex()).model_dump())
    trail = AuditTrail(log.js, log.shards) if audited else None
    exporter = _Exporter(log, keys, trail, writer)
    advance = show("Exporting", sum(last_events) + (sum(last_accesses) if with_accesses else 0))
    for shard in shards:
        await exporter.stream("event", shard, 2, last_events[shard], advance)
    if with_accesses:
        for shard in shards:
            await exporter.stream("access", shard, 1, last_accesses[shard], advance)
    return Exported(writer.finish(), exporter.unopened)


class _Exporter:
    def __init__(self, log: LogAccess, keys: KeyStore, trail: AuditTrail | None, writer: ExportWriter) -> None:
        self._log = log
        self._keys = keys
        self._trail = trail
        self._writer = writer
        self._without_key: set[str] = set()
        self.unopened = 0

    async def stream(self, kind: _Kind, shard: int, first: int, last: int, advance: Callable[[int], object]) -> None:
        stream = events(shard).name if kind == "event" else access(shard).name
        before = first - 1
        async for page in pages(self._log.events, stream, first, last):
            for message in page:
                require_next(stream, before, message.sequence)
                before = message.sequence
            lines = [await self._line(kind, shard, message) for message in page]
            if self._trail is not None:
                await self._record(lines)
            for line in lines:
                self._writer.add(line)
            advance(len(page))
        require_next(stream, before, last + 1)

    async def _line(self, kind: _Kind, shard: int, message: StoredMessage) -> dict[str, Any]:
        address = message.subject.split(".", 3)[3]
        headers = own_headers(message)
        place = {
            "shard": shard,
            "sequence": message.sequence,
            "recorded_at": first_recorded_at(message),
            "subject": address,
            "headers": {n: v for n, v in headers.items() if not n.startswith("Nats-") and n != RECORDED_AT},
        }
        try:
            return message_line(kind, place, unseal(message.data, await self._key(address.split(".", 1)[0])))
        except (Undecodable, ContentDamaged):
            self.unopened += 1
            return message_line(kind, place, message.data)

    async def _key(self, uid: str) -> SealingKey | None:
        if uid in self._without_key:
            return None
        try:
            return await self._keys.get(uid)
        except KeyMissing:
            self._without_key.add(uid)
            return None

    async def _record(self, lines: Sequence[dict[str, Any]]) -> None:
        """Whose memories are in these lines is on the audit trail before the lines are anywhere else."""
        assert self._trail is not None
        read: dict[str, dict[str, None]] = {}
        for line in lines:
            uid, kind, id_ = (*line["subject"].split("."), "", "")[:3]
            if kind == "memory" and "content" in line:
                read.setdefault(uid, {})[id_] = None
        for uid, memories in read.items():
            key = await self._keys.get(uid)
            principal = Principal(uid, ids.app_id(key.identity, OWNER_APP), OWNER_APP, _ACTOR, key)
            await self._trail.record(principal, "export", [(id_, None) for id_ in memories])

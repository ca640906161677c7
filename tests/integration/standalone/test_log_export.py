"""The whole log in the clear and back: nothing is lost, added or moved, and every read of it is on the audit trail."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from contracts import ids, subjects
from contracts.codec import decode_event
from contracts.errors import ConfigurationError, ContentDamaged, LogNotTrusted, Unavailable
from contracts.events import EVENTS, MemoriesRead
from contracts.streams import KEYS, access, commands, events
from gateway.use_cases.audit_trail import AuditTrail
from runtime.event_store import StoredMessage
from runtime.keys import MasterKey
from runtime.stream_reading import pages
from standalone import log_import
from standalone.failures import CheckFailed, FileUnusable, NotEmpty
from standalone.home import Home
from standalone.log_export import export_log
from standalone.log_import import import_log
from support.homes import at, bytes_of, content, in_folder, quiet
from support.lived_in import USERS, live
from support.servers import Log, Servers, opened

SHARDS = 3


async def exported(home: Path, *, with_accesses: bool = True) -> bytes:
    file = io.BytesIO()
    await export_log(home, None, file, quiet, with_accesses=with_accesses)
    return file.getvalue()


async def imported(home: Path, export: bytes) -> None:
    await import_log(home, io.BytesIO(export), "export.jsonl", len(export), quiet)


def lines(export: bytes, *kinds: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in export.splitlines()]
    return [line for line in found if line["kind"] in kinds] if kinds else found


async def messages(log: Log, stream: str) -> list[StoredMessage]:
    last = await log.events.last_sequence(stream)
    return [message async for page in pages(log.events, stream, 1, last) for message in page]


@pytest.fixture(scope="module")
async def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of three shards that is stopped, with every type of event for several users."""
    home = tmp_path_factory.mktemp("source") / "home"
    async with at(home, SHARDS) as log:
        await live(log)
    return home


@pytest.fixture(scope="module")
async def export(source: Path) -> bytes:
    return await exported(source)


async def test_every_event_is_in_it_with_its_whole_envelope_and_its_content(source: Path, export: bytes) -> None:
    header, end = lines(export)[0], lines(export)[-1]
    found = lines(export, "event")
    assert {line["type"] for line in found} == set(EVENTS) - {"LogStarted", "MemoriesRead"}
    async with at(source, SHARDS) as log:
        stored = [m for shard in range(SHARDS) for m in (await messages(log, events(shard).name))[1:]]
        assert header["last_sequences"] == [await log.events.last_sequence(events(s).name) for s in range(SHARDS)]
        assert len(stored) == len(found) == end["events"] == len(USERS) * (len(EVENTS) - 2)
        for message, line in zip(stored, found, strict=True):
            envelope = json.loads(message.data)
            assert line | {name: value for name, value in envelope.items() if name != "sealed"} == line
            key = await log.keys.get(line["uid"])
            event = decode_event(message.data, key)[2]
            assert event is not None and {**line["data"], **line.get("content", {})} == event.model_dump(mode="json")
            assert line["sequence"] == message.sequence
            assert line["headers"] == {"traceparent": message.headers["traceparent"]}
            assert line["recorded_at"] == message.headers["Nats-Time-Stamp"]
    assert {line["content"]["name"] for line in found if line["type"] == "UserRegistered"} == set(USERS)
    assert [line["content"]["query"] for line in lines(export, "access")] == ["Zürich?"] * len(USERS)


async def test_what_is_imported_exports_as_the_same_with_the_same_sequences_times_and_ids(
    export: bytes, tmp_path: Path
) -> None:
    await imported(tmp_path / "target", export)
    again = await exported(tmp_path / "target")
    assert again.splitlines()[1:-1] == export.splitlines()[1:-1]
    assert lines(again)[-1]["content"] == lines(export)[-1]["content"]
    assert lines(again)[0]["incarnations"] != lines(export)[0]["incarnations"]
    await imported(tmp_path / "third", again)
    assert (await exported(tmp_path / "third")).splitlines()[1:-1] == export.splitlines()[1:-1]


async def test_an_imported_log_has_new_keys_the_old_identities_and_its_users_in_the_directory(
    source: Path, export: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    await imported(target, export)
    assert in_folder(target)["master.key"] == 0o600
    assert bytes_of(target / "master.key") != bytes_of(source / "master.key")
    async with at(source, SHARDS) as before, at(target, SHARDS) as log:
        assert (await log.js.stream_info(commands(0).name)).state.messages == 0
        for name in USERS:
            subject = subjects.user_subject(log.keys.master.name_hash(name))
            uid = json.loads((await log.js.get_msg("MEMLOG_USERS", subject=subject)).data or b"")["uid"]
            old, new = await before.keys.get(uid), await log.keys.get(uid)
            assert old.identity == new.identity and ids.app_id(new.identity, "x") == ids.app_id(old.identity, "x")
            with pytest.raises(ContentDamaged):
                old.open(new.seal(b"text", b""), b"")
        assert (await log.js.stream_info("MEMLOG_USERS")).state.messages == len(USERS)


class Watched(io.BytesIO):
    """A file that nothing of a memory may reach before its read is `recorded` (memory ids by uid)."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: dict[str, set[str]] = {}
        self.memories: dict[str, set[str]] = {}

    def write(self, line: Any) -> int:
        written = json.loads(line)
        uid, kind, id_ = (*written.get("subject", "").split("."), "", "")[:3]
        if kind == "memory" and "content" in written:
            assert id_ in self.recorded[uid]
            self.memories.setdefault(uid, set()).add(id_)
        return super().write(line)


@pytest.mark.guarantee("G7")
async def test_each_read_of_a_memory_is_on_the_audit_trail_before_it_leaves(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, record = Watched(), AuditTrail.record

    async def recorded(trail: AuditTrail, principal: Any, kind: Any, found: Any, query: Any = None) -> None:
        await record(trail, principal, kind, found, query)
        file.recorded.setdefault(principal.uid, set()).update(id_ for id_, _ in found)

    monkeypatch.setattr(AuditTrail, "record", recorded)
    async with opened(servers.settings()) as log:
        uids = {*(await live(log)).values()}
        await log.js.purge_stream(access(0).name)
        await export_log(servers.home.root, None, file, quiet)
        assert file.memories.keys() == uids
        trail = await messages(log, access(0).name)
        assert len(trail) == len(uids)
        for message in trail:
            uid, app = message.subject.split(".")[3:]
            key = await log.keys.get(uid)
            meta, _, event = decode_event(message.data, key)
            assert isinstance(event, MemoriesRead)
            assert (event.kind, meta.actor, app) == ("export", "cli", ids.app_id(key.identity, "dashboard"))
            assert {item.id for item in event.items} == file.memories[uid]


async def test_what_cannot_be_recorded_does_not_leave(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(AuditTrail, "record", fails)
    file = io.BytesIO()
    async with opened(servers.settings()) as log:
        await live(log, ("Ada",))
        with pytest.raises(Unavailable):
            await export_log(servers.home.root, None, file, quiet)
    assert lines(file.getvalue(), "event") == []


async def test_what_cannot_be_opened_is_in_it_as_it_is_stored_and_comes_back_as_it_was(
    servers: Servers, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    async with opened(servers.settings()) as log:
        ada, bob = (await live(log, ("Ada", "Bob"))).values()
        await log.js.publish(f"memlog.evt.0.{ada}.memory.poison", b"\x00 not an envelope \xff", headers={"a": "b"})
        await log.keys.destroy(bob)
        before = await messages(log, events(0).name)
        file = io.BytesIO()
        done = await export_log(servers.home.root, None, file, quiet)
    export = file.getvalue()
    raw = [line for line in lines(export, "event") if "raw" in line]
    assert done.unopened == len(raw) > 5 and {line["subject"].split(".")[0] for line in raw} == {ada, bob}
    await imported(target, export)
    async with at(target) as log:
        after = await messages(log, events(0).name)
        assert [m.subject for m in after] == [m.subject for m in before]
        same = {line["sequence"] for line in raw}
        assert all(a.data == b.data for a, b in zip(after, before, strict=True) if a.sequence in same)
        assert (await log.js.stream_info(KEYS.name)).state.messages == 1


@pytest.mark.parametrize("shards", [1, 2])
async def test_a_log_can_be_spread_over_another_number_of_shards(
    export: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    monkeypatch.setenv("MEMLOG_SHARDS", str(shards))
    await imported(tmp_path / "target", export)
    again = await exported(tmp_path / "target")

    def of_users(export: bytes) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for line in lines(export, "event", "access"):
            bare = {name: value for name, value in line.items() if name not in ("shard", "sequence")}
            found.setdefault(line["uid"], []).append(bare)
        return found

    assert of_users(again) == of_users(export)
    assert lines(again)[0]["shards"] == shards


async def test_a_file_is_private_whole_and_never_overwritten(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    done = await export_log(source, None, file, quiet)
    assert in_folder(tmp_path) == {file.name: 0o600}
    assert lines(bytes_of(file))[-1] == done.end.model_dump()
    with pytest.raises(FileUnusable, match="exists already"):
        await export_log(source, None, file, quiet)


async def test_nothing_is_imported_over_a_log(source: Path, export: bytes) -> None:
    async with at(source, SHARDS) as log:
        before = await content(log)
    with pytest.raises(NotEmpty):
        await imported(source, export)
    async with at(source, SHARDS) as log:
        assert await content(log) == before


async def test_a_damaged_export_leaves_the_home_without_log_and_without_key(export: bytes, tmp_path: Path) -> None:
    chance, target = random.Random(20261122), tmp_path / "target"
    whole = export.splitlines(keepends=True)
    cases = [export[: chance.randrange(len(export))] for _ in range(2)]
    for _ in range(2):
        changed = bytearray(export)
        changed[chance.randrange(len(export))] ^= 1 << chance.randrange(8)
        cases.append(bytes(changed))
    cases += [b"".join([*whole[:30], *whole[31:]]), b"".join([*whole[:20], whole[21], whole[20], *whole[22:]])]
    for damaged in cases:
        with pytest.raises(FileUnusable):
            await imported(target, damaged)
        assert not Home.at(target).has_log() and not {"master.key", "incoming"} & in_folder(target).keys()
    await imported(target, export)


async def test_a_log_that_would_export_as_something_else_is_thrown_away(
    export: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = log_import._message  # pyright: ignore[reportPrivateUsage]

    def forgetful(line: Any) -> Any:
        return real(line.model_copy(update={"headers": {}}))

    monkeypatch.setattr(log_import, "_message", forgetful)
    with pytest.raises(CheckFailed):
        await imported(tmp_path / "target", export)
    assert not Home.at(tmp_path / "target").has_log()


async def test_a_log_with_a_hole_or_without_its_keys_is_not_exported_as_if_it_were_whole(servers: Servers) -> None:
    home = servers.home.root
    async with opened(servers.settings()) as log:
        await live(log, ("Ada",))
        servers.home.master_key.rename(home / "master.key.away")
        with pytest.raises(ConfigurationError, match="is missing"):
            await exported(home)
        MasterKey.create(servers.home.master_key)
        with pytest.raises(ConfigurationError, match="were wrapped by master key"):
            await exported(home)
        (home / "master.key.away").replace(servers.home.master_key)
        await log.js.delete_msg(events(0).name, 5)
        with pytest.raises(LogNotTrusted):
            await exported(home)


async def test_an_export_ends_where_the_log_ended_when_it_began(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        await live(log, ("Ada",))
        before = await log.events.last_sequence(events(0).name)
        first = await exported(servers.home.root)
        assert len(lines(first, "access")) == 1
        await live(log, ("Bob",))
        second = await exported(servers.home.root)
        assert lines(second, "event")[: before - 1] == lines(first, "event")
        assert {line["type"] for line in lines(second, "access")} == {"MemoriesRead"}
        assert [line["data"]["kind"] for line in lines(second, "access")] == ["search", "export", "search"]

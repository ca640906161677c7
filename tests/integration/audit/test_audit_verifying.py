"""Verifying a real log with its tables: what is wrong anywhere is named, and what only looks wrong is not."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from audit.anchors import AnchorFile, Anchors, append, read
from audit.checks import Verifiable
from audit.generations import access_models, read_models
from audit.keeper import PostgresKeeper
from audit.schema import install
from audit.store import PostgresStore
from audit.verifier import Verifier
from contracts import subjects
from contracts.codec import encode
from contracts.commands import AddMemory
from contracts.errors import InvalidInput, LogNotTrusted
from contracts.events import MemoriesRead, UserRegistered
from contracts.ids import uuid7
from contracts.streams import KEYS, READ_MODELS, USERS, WRITER_CONSUMER, access, commands, events
from contracts.verification import Anchor, Difference, Verification
from nats.js.api import AckPolicy, ConsumerConfig
from runtime.dead_letters import DeadLetters, bury
from runtime.event_store import NewEvent, StoredMessage
from runtime.log_checks import open_log
from runtime.postgres import Pool
from support.audited_log import project
from support.log_events import UID, added, command_bytes, meta_of, new_event, publish_raw
from support.servers import Log, eventually

EVENTS, READS = events(0).name, access(0).name


async def verify(log: Log, pool: Pool, kept: Path | None = None) -> Verification:
    anchors = Anchors(pool, log.events, await open_log(log.js, log.events, log.shards))
    file = None if kept is None else AnchorFile(kept)
    return await Verifier(Verifiable(log.js, log.events, pool), log.client, anchors, file, serving=False).run()


async def differences(log: Log, pool: Pool, kept: Path | None = None) -> list[tuple[str, str, int]]:
    """Kind, place and sequence of each difference; nothing may have been impossible to check."""
    found = await verify(log, pool, kept)
    assert [check for check in found.checks if check.state == "failed"] == []
    all_ = [check.difference for check in found.checks if check.difference is not None]
    assert found.result == ("differs" if all_ else "equal")
    return [(each.kind, each.where, each.sequence) for each in all_]


async def register(log: Log, uid: str = UID) -> None:
    key = await log.keys.create(uid)
    await log.js.publish(subjects.user_subject("a" * 64 if uid == UID else uid), b'{"uid": "%s"}' % uid.encode())
    await log.events.append([new_event(subjects.user(uid), event=UserRegistered(name="Ada"), key=key)])


async def fill(log: Log, pool: Pool, last: int | None = None) -> None:
    """Apply all that is in the log, or the events up to `last`."""
    ends = await log.events.last_sequence(EVENTS) if last is None else last
    await project(log, pool, read_models, EVENTS, ends)
    if reads := await log.events.last_sequence(READS):
        await project(log, pool, access_models, READS, reads)
    else:
        await install(pool, access_models)


@pytest.fixture
async def sound(log: Log, pool: Pool) -> Log:
    """A user with ten memories (events 3 to 12) and five reads."""
    await register(log)
    key = await log.keys.get(UID)
    await log.events.append(
        [new_event(subjects.memory(UID, f"m-{n}"), event=added(f"m-{n}"), key=key) for n in range(10)]
    )
    await add_reads(log, 5)
    await fill(log, pool)
    return log


async def add_reads(log: Log, count: int) -> None:
    key = await log.keys.get(UID)
    for _ in range(count):
        raw = encode(meta_of(uuid7()), MemoriesRead(kind="list"), key)
        await log.js.publish(subjects.access_subject(0, UID, "app"), raw)


@pytest.mark.guarantee("G11")
async def test_nothing_differs_in_a_sound_log(sound: Log, pool: Pool) -> None:
    assert await differences(sound, pool) == []
    found = {check.name: check for check in (await verify(sound, pool)).checks}
    assert (found["events"].done, found["reads"].done, found["users"].done) == (12, 5, 1)
    assert found["anchors"].state == "skipped"


async def test_without_read_models_it_says_so_and_claims_nothing(log: Log, pool: Pool) -> None:
    found = {check.name: check for check in (await verify(log, pool)).checks}
    assert found["events"].state == "skipped" and "PostgreSQL holds nothing" in (found["events"].detail or "")


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE {schema}.event_audit SET uid = 'somebody' WHERE sequence = 5", ("row_changed", EVENTS, 5)),
        ("UPDATE {schema}.event_audit SET chain = sha256 WHERE sequence = 12", ("row_changed", EVENTS, 12)),
        ("DELETE FROM {schema}.event_audit WHERE sequence IN (6, 7)", ("row_missing", EVENTS, 6)),
        ("DELETE FROM {schema}.event_audit WHERE sequence = 12", ("row_missing", EVENTS, 12)),
        (
            "INSERT INTO {schema}.event_audit SELECT shard, 13, event_id, type, uid, app_id, actor, correlation_id, "
            "causation_id, trace_id, subject, occurred_at, recorded_at, sha256, chain FROM {schema}.event_audit "
            "WHERE sequence = 12",
            ("row_inserted", EVENTS, 13),
        ),
        ("UPDATE {schema}.positions SET sha256 = '00'", ("position_differs", READ_MODELS, 12)),
        ("UPDATE {schema}.positions SET sequence = 20", ("position_differs", READ_MODELS, 20)),
    ],
)
async def test_what_was_changed_in_the_tables_is_named(
    sound: Log, pool: Pool, statement: str, expected: tuple[str, str, int]
) -> None:
    await pool.execute(statement.format(schema=read_models().schema))
    assert expected in await differences(sound, pool)


@pytest.mark.guarantee("G11")
async def test_an_event_that_was_removed_is_named_by_the_chain(sound: Log, pool: Pool) -> None:
    await sound.js.delete_msg(EVENTS, 8)
    anchors = Anchors(pool, sound.events, [])
    found = await Verifier(Verifiable(sound.js, sound.events, pool), sound.client, anchors, None, serving=False).run()
    named = {c.name: c.difference.kind for c in found.checks if c.difference is not None}
    assert named == {"log": "log_damaged", "events": "message_missing"}


# -- commands and users --------------------------------------------------------------------------------------------


async def handle(log: Log, count: int) -> list[str]:
    """Commands that the writer has acknowledged, as far as its consumer knows."""
    key = await log.keys.get(UID)
    ids: list[str] = []
    for number in range(count):
        id_, data = command_bytes(AddMemory(text=f"text {number}"), key)
        await publish_raw(log, data, command_id=id_)
        ids.append(id_)
    await log.js.add_consumer(  # pyright: ignore[reportUnknownMemberType]
        commands(0).name, ConsumerConfig(durable_name=WRITER_CONSUMER, ack_policy=AckPolicy.EXPLICIT)
    )
    pull = await log.js.pull_subscribe_bind(WRITER_CONSUMER, commands(0).name)
    for message in await pull.fetch(count):
        await message.ack_sync()
    await pull.unsubscribe()
    return ids


def outcome_of(command_id: str, number: int, key: object) -> NewEvent:
    meta = meta_of(f"event-{number}", causation_id=command_id)
    return NewEvent(subjects.memory(UID, f"c-{number}"), meta, added(f"c-{number}"), 0, key, {})  # pyright: ignore


@pytest.mark.guarantee("G11")
async def test_a_command_without_an_end_in_the_log_shows_that_the_log_lost_its_own(sound: Log, pool: Pool) -> None:
    """Log and tables may both have been cut, and fit each other: the commands still tell."""
    ids = await handle(sound, 3)
    key = await sound.keys.get(UID)
    await sound.events.append([outcome_of(id_, number, key) for number, id_ in enumerate(ids[:2])])
    await fill(sound, pool)
    assert await differences(sound, pool) == [("command_lost", commands(0).name, 3)]


@pytest.mark.guarantee("G11")
async def test_an_event_whose_command_is_gone_shows_that_the_commands_lost_their_end(sound: Log, pool: Pool) -> None:
    [id_] = await handle(sound, 1)
    key = await sound.keys.get(UID)
    await sound.events.append([outcome_of(id_, 1, key), outcome_of(uuid7(), 2, key)])
    await fill(sound, pool)
    assert await differences(sound, pool) == [("message_missing", commands(0).name, 2)]


async def test_commands_that_ended_otherwise_are_not_called_lost(sound: Log, pool: Pool) -> None:
    ids = await handle(sound, 4)
    key = await sound.keys.get(UID)
    outcomes = [outcome_of(id_, number, key) for number, id_ in enumerate(ids[:2])]
    await sound.events.append(outcomes[:1])
    await fill(sound, pool)
    await sound.events.append(outcomes[1:])  # the read models have not come so far
    for number in (3, 4):  # one was put aside, one was dropped by a person
        message = await sound.events.message_at(commands(0).name, number)
        assert message is not None
        await bury(sound.js, WRITER_CONSUMER, commands(0).name, message, "refused")
    letters = DeadLetters(sound.js, sound.events, WRITER_CONSUMER)
    [letter] = await letters.letters(subjects.dead_subject(WRITER_CONSUMER, message.subject))
    await letters.note_dropped(letter)
    await letters.remove(letter)
    assert await differences(sound, pool) == []


@pytest.mark.guarantee("G11")
async def test_a_user_without_key_or_directory_entry_is_named(sound: Log, pool: Pool) -> None:
    other = "1" * 32
    key = await sound.keys.create(other)
    await sound.events.append([new_event(subjects.user(other), event=UserRegistered(name="Bob"), key=key)])
    await fill(sound, pool)
    assert await differences(sound, pool) == [("user_lost", USERS.name, 0)]
    await sound.js.publish(subjects.user_subject("b" * 64), b'{"uid": "%s"}' % other.encode())
    assert await differences(sound, pool) == []
    await sound.keys.destroy(other)
    assert await differences(sound, pool) == [("user_lost", KEYS.name, 0)]


# -- anchors -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def anchors(sound: Log, pool: Pool) -> Anchors:
    return Anchors(pool, sound.events, await open_log(sound.js, sound.events, 1))


@contextlib.asynccontextmanager
async def keeping(file: AnchorFile, anchors: Anchors) -> AsyncGenerator[None]:
    task = asyncio.create_task(file.keep(anchors, 0.02))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.guarantee("G11")
async def test_heads_are_kept_as_the_log_grows_and_once_more_at_the_end(
    sound: Log, pool: Pool, anchors: Anchors, tmp_path: Path
) -> None:
    file = AnchorFile(tmp_path / "anchors.jsonl")

    def sequences() -> list[int]:
        return [line.heads[0].sequence for line in read(file.path) if isinstance(line, Anchor)]

    async with keeping(file, anchors):
        await eventually(lambda: file.path.exists() and sequences() == [12])
        await sound.events.append([new_event(subjects.memory(UID, "later"))])
        await fill(sound, pool)
        await eventually(lambda: sequences() == [12, 13])
    assert await differences(sound, pool, file.path) == []
    assert file.path.stat().st_mode & 0o077 == 0


@pytest.mark.guarantee("G11")
async def test_log_and_tables_that_were_cut_and_refilled_fit_each_other_but_not_the_anchor(
    sound: Log, pool: Pool, anchors: Anchors, tmp_path: Path
) -> None:
    file = tmp_path / "anchors.jsonl"
    append(file, await anchors.current())
    stored = [m async for page in _pages(sound) for m in page][:8]
    info = (await sound.js.stream_info(EVENTS)).config
    await sound.js.delete_stream(EVENTS)
    await sound.js.add_stream(info)  # pyright: ignore[reportUnknownMemberType]
    for message in stored:
        await sound.js.publish(message.subject, message.data)
    await pool.execute("DROP SCHEMA memlog CASCADE; DROP SCHEMA memlog_generations CASCADE")
    await pool.execute("DROP SCHEMA read_models_g1 CASCADE; DROP SCHEMA access_log_g1 CASCADE")
    await fill(sound, pool)
    assert await differences(sound, pool) == []
    assert await differences(sound, pool, file) == [("log_cut", EVENTS, 12)]
    key = await sound.keys.get(UID)
    wave = [new_event(subjects.memory(UID, f"new-{n}"), event=added(f"new-{n}"), key=key) for n in range(6)]
    await sound.events.append(wave)
    await fill(sound, pool)
    assert await differences(sound, pool) == []
    assert await differences(sound, pool, file) == [("chain_differs", EVENTS, 12)]


async def _pages(log: Log) -> AsyncGenerator[list[StoredMessage]]:
    page, _ = await log.events.read_page(EVENTS, ">", 1, 500)
    yield page


async def test_an_anchor_ahead_of_the_tables_is_compared_with_the_log(
    sound: Log, pool: Pool, anchors: Anchors, tmp_path: Path
) -> None:
    """After a crash PostgreSQL may come back a moment behind."""
    file = tmp_path / "anchors.jsonl"
    append(file, await anchors.current())
    schema = read_models().schema
    await pool.execute(f"DELETE FROM {schema}.event_audit WHERE sequence > 9")
    await pool.execute(
        f"UPDATE {schema}.positions AS p SET sequence = 9, event_id = a.event_id, sha256 = a.sha256 "
        f"FROM {schema}.event_audit AS a WHERE a.sequence = 9"
    )
    assert await differences(sound, pool, file) == []


async def test_a_line_that_a_crash_cut_off_is_named_and_spoils_no_other(
    sound: Log, pool: Pool, anchors: Anchors, tmp_path: Path
) -> None:
    file = tmp_path / "anchors.jsonl"
    append(file, await anchors.current())
    file.write_bytes(file.read_bytes()[:-20])
    append(file, await anchors.current())
    assert [type(line) for line in read(file)] == [Difference, Anchor]
    assert await differences(sound, pool, file) == [("anchor_unreadable", str(file), 1)]


async def test_heads_of_streams_without_a_chain_are_refused(sound: Log, anchors: Anchors) -> None:
    head = (await anchors.current()).heads[0].model_copy(update={"stream": KEYS.name})
    with pytest.raises(InvalidInput, match="has no audit chain"):
        await anchors.check([head])


# -- the store -----------------------------------------------------------------------------------------------------


@pytest.mark.guarantee("G11")
async def test_a_chain_whose_end_was_removed_is_not_begun_anew(sound: Log, pool: Pool) -> None:
    await pool.execute(f"DELETE FROM {read_models().schema}.event_audit WHERE sequence = 12")
    with pytest.raises(LogNotTrusted, match="audit row at 12"):
        await PostgresStore(pool, read_models()).checkpoint(0)


@pytest.mark.guarantee("G11")
async def test_rows_of_reads_that_aged_out_stay_and_the_chain_goes_on_from_them(
    sound: Log, pool: Pool, anchors: Anchors, tmp_path: Path
) -> None:
    append(tmp_path / "anchors.jsonl", await anchors.current())
    config = (await sound.js.stream_info(READS)).config
    config.max_age = 1.0
    await sound.js.update_stream(config)  # pyright: ignore[reportUnknownMemberType]

    async def aged_out() -> bool:
        return (await sound.js.stream_info(READS)).state.messages == 0

    await eventually(aged_out)
    assert await differences(sound, pool, tmp_path / "anchors.jsonl") == []
    config.max_age = 3600.0
    await sound.js.update_stream(config)  # pyright: ignore[reportUnknownMemberType]
    await add_reads(sound, 3)
    await fill(sound, pool)
    keeper = PostgresKeeper(pool, pool, access_models)
    beside = await keeper.create(None, True)
    await project(sound, pool, access_models, READS, 8, beside=beside.number)
    schemas = [access_models(number).schema for number in (1, beside.number)]
    rows = [await pool.fetch(f"SELECT * FROM {schema}.access_audit ORDER BY sequence") for schema in schemas]
    assert len(rows[0]) == 8
    assert [tuple(row.values()) for row in rows[0]] == [tuple(row.values()) for row in rows[1]]

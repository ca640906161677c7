"""The audit chain of a real log: every message has its row; what is changed on either side is found, and named."""

import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from audit.chain import AuditRow
from audit.generations import access_models, read_models
from audit.verification import StreamVerifier, moved
from contracts.streams import ACCESS_LOG, READ_MODELS, access, events
from contracts.verification import Difference
from runtime.event_store import StoredMessage
from runtime.postgres import DERIVED_STORE, Pool, create_pool
from standalone.home import Home
from standalone.nats_server import NatsServer
from support.audited_log import HEADERS, TRACE, Audited, audited, chained_anew, project, write_odd_log
from support.servers import empty, opened, settings_for

Change = Callable[[Audited, random.Random], Audited]


@pytest.fixture(scope="module")
async def pool(server: str, administrator: Pool) -> AsyncGenerator[Pool]:
    await administrator.execute("CREATE DATABASE chain OWNER memlog")
    pool = await create_pool(
        server.replace("/postgres?", "/chain?"), application_name="chain", size=2, settings=DERIVED_STORE
    )
    yield pool
    await pool.close()
    await administrator.execute("DROP DATABASE chain WITH (FORCE)")


@pytest.fixture(scope="module")
async def both(home: Home, session_nats: NatsServer, pool: Pool) -> AsyncGenerator[dict[str, Audited]]:
    """Events and reads of a real log, with their rows."""
    async with opened(settings_for(home, session_nats), start=False) as stale:
        await empty(stale.js)
    async with opened(settings_for(home, session_nats)) as log:
        await write_odd_log(log)
        await project(log, pool, read_models, events(0).name, 46)
        await project(log, pool, access_models, access(0).name, 30)
        yield {
            READ_MODELS: await audited(log, pool, events(0).name, "event_audit"),
            ACCESS_LOG: await audited(log, pool, access(0).name, "access_audit"),
        }


@pytest.fixture
def log_of_events(both: dict[str, Audited]) -> Audited:
    return both[READ_MODELS]


@pytest.mark.guarantee("G11")
async def test_every_message_has_its_row_also_those_that_nobody_can_read(both: dict[str, Audited]) -> None:
    for found in both.values():
        assert [row.sequence for row in found.rows] == [m.sequence for m in found.messages]
        assert [found.verify(page) for page in (1, 7, 1000)] == [None, None, None]
    rows = both[READ_MODELS].rows
    assert [row.type for row in rows[-5:-1]] == ["unreadable", "FromTheFuture", "MemoryAdded", "MemoryAdded"]
    assert {row.trace_id for row in rows} == {TRACE, None}
    assert both[READ_MODELS].rows[0].type == "LogStarted"


@pytest.mark.guarantee("G11")
async def test_the_chain_is_as_the_architecture_says(both: dict[str, Audited]) -> None:
    for found in both.values():
        chain = sha256(found.stream.encode()).digest()
        for message, row in zip(found.messages, found.rows, strict=True):
            stored = sha256(message.data).digest()
            chain = sha256(chain + message.sequence.to_bytes(8, "big") + stored).digest()
            assert (row.sha256, row.chain) == (stored.hex(), chain.hex())


# -- 2,000 changes -------------------------------------------------------------------------------------------------


def _at(found: Audited, rng: random.Random) -> int:
    """An index, not of the first entry: its event is the log's own (see `other_log`)."""
    return rng.randrange(1, len(found.messages))


def _put(items: Sequence[Any], index: int, **changed: Any) -> tuple[Any, ...]:
    return (*items[:index], replace(items[index], **changed), *items[index + 1 :])


def _numbered(items: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(replace(item, sequence=number) for number, item in enumerate(items, 1))


def bit_flipped(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    data = bytearray(found.messages[index].data)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return replace(found, messages=_put(found.messages, index, data=bytes(data)))


def bytes_cut_off(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    data = found.messages[index].data
    return replace(found, messages=_put(found.messages, index, data=data[: rng.randrange(len(data))]))


def messages_swapped(found: Audited, rng: random.Random) -> Audited:
    one, other = rng.sample(range(1, len(found.messages)), 2)
    first, second = found.messages[one].data, found.messages[other].data
    return replace(found, messages=_put(_put(found.messages, one, data=second), other, data=first))


def a_message_put_elsewhere(found: Audited, rng: random.Random) -> Audited:
    """Taken out and put in at another place; those between move up or down."""
    while True:
        taken, put = rng.sample(range(1, len(found.messages)), 2)
        if abs(taken - put) > 0:
            break
    rest = [*found.messages[:taken], *found.messages[taken + 1 :]]
    return replace(found, messages=_numbered([*rest[:put], found.messages[taken], *rest[put:]]))


def a_message_removed(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    return replace(found, messages=found.messages[:index] + found.messages[index + 1 :])


def a_message_removed_and_those_behind_moved_up(found: Audited, rng: random.Random) -> Audited:
    index = rng.randrange(1, len(found.messages) - 1)
    return replace(found, messages=_numbered(found.messages[:index] + found.messages[index + 1 :]))


def the_log_cut(found: Audited, rng: random.Random) -> Audited:
    return replace(found, messages=found.messages[: _at(found, rng)])


def the_log_cut_and_refilled(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    new = [replace(m, data=b"another " + m.data) for m in found.messages[index:]]
    return replace(found, messages=(*found.messages[:index], *new))


def a_message_put_in(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    new = replace(found.messages[index], data=found.messages[index].data + b" ")
    return replace(found, messages=_numbered((*found.messages[:index], new, *found.messages[index:])))


def what_surrounds_a_message_changed(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    message = found.messages[index]
    changed: dict[str, Any] = rng.choice(
        [
            {"subject": message.subject + "x"},
            {"recorded_at": message.recorded_at + timedelta(microseconds=1)},
            {"headers": message.headers | {"traceparent": HEADERS["traceparent"].replace("0af", "0ae")}},
        ]
    )
    return replace(found, messages=_put(found.messages, index, **changed))


_COLUMNS = [field.name for field in fields(AuditRow) if field.name not in ("shard", "sequence")]


def _other(value: object, rng: random.Random) -> object:
    match value:
        case datetime():
            return value + timedelta(microseconds=rng.choice([-1, 1, 10**9]))
        case str() if value:
            at = rng.randrange(len(value))
            return value[:at] + rng.choice([c for c in "0f-é" if c != value[at]]) + value[at + 1 :]
        case _:
            return "0" * 32


def a_column_changed(found: Audited, rng: random.Random) -> Audited:
    index, column = _at(found, rng), rng.choice(_COLUMNS)
    return replace(found, rows=_put(found.rows, index, **{column: _other(getattr(found.rows[index], column), rng)}))


def rows_swapped(found: Audited, rng: random.Random) -> Audited:
    one, other = rng.sample(range(1, len(found.rows)), 2)
    rows = [*found.rows]
    rows[one], rows[other] = replace(rows[other], sequence=one + 1), replace(rows[one], sequence=other + 1)
    return replace(found, rows=tuple(rows))


def rows_removed(found: Audited, rng: random.Random) -> Audited:
    index = _at(found, rng)
    return replace(found, rows=found.rows[:index] + found.rows[index + rng.randrange(1, 4) :])


def the_rows_cut(found: Audited, rng: random.Random) -> Audited:
    return replace(found, rows=found.rows[: _at(found, rng)])


def a_row_put_in(found: Audited, rng: random.Random) -> Audited:
    row = replace(rng.choice(found.rows), sequence=len(found.rows) + 1)
    return replace(found, rows=(*found.rows, row))


def a_row_changed_and_the_chain_with_it(found: Audited, rng: random.Random) -> Audited:
    changed = _put(found.rows, _at(found, rng), sha256=rng.randbytes(32).hex())
    return replace(found, rows=chained_anew(found.stream, changed))


def a_row_removed_and_the_chain_closed(found: Audited, rng: random.Random) -> Audited:
    index = rng.randrange(1, len(found.rows) - 1)
    return replace(found, rows=chained_anew(found.stream, found.rows[:index] + found.rows[index + 1 :]))


def an_entry_removed(found: Audited, rng: random.Random) -> Audited:
    index = rng.randrange(1, len(found.rows) - 1)
    rows = found.rows[:index] + found.rows[index + 1 :]
    if rng.random() < 0.5:
        rows = chained_anew(found.stream, rows)
    return Audited(found.stream, found.messages[:index] + found.messages[index + 1 :], rows)


CHANGES: dict[Change, set[str]] = {
    bit_flipped: {"message_changed"},
    bytes_cut_off: {"message_changed"},
    messages_swapped: {"message_moved"},
    a_message_put_elsewhere: {"message_moved"},
    a_message_removed: {"message_missing"},
    a_message_removed_and_those_behind_moved_up: {"message_moved"},
    the_log_cut: {"message_missing"},
    the_log_cut_and_refilled: {"message_changed"},
    a_message_put_in: {"message_changed"},
    what_surrounds_a_message_changed: {"row_changed"},
    a_column_changed: {"row_changed"},
    rows_swapped: {"row_changed"},
    rows_removed: {"row_missing"},
    the_rows_cut: {"row_missing"},
    a_row_put_in: {"row_inserted"},
    a_row_changed_and_the_chain_with_it: {"message_changed"},
    a_row_removed_and_the_chain_closed: {"message_inserted"},
    an_entry_removed: {"entry_missing"},
}
"""What is done to one side, or to both, and what verifying calls it."""


def named(changed: Audited, page: int) -> Difference | None:
    """The first difference, with the place where a message that stands elsewhere belongs, as the audit looks it up."""
    difference = changed.verify(page)
    if difference is None or difference.kind != "message_changed":
        return difference
    at = next(message for message in changed.messages if message.sequence == difference.sequence)
    found = sha256(at.data).hexdigest()
    return moved(difference, next((row.sequence for row in changed.rows if row.sha256 == found), None))


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_of_log_or_audit_is_found_and_named(both: dict[str, Audited], change: Change) -> None:
    for number in range(80):
        rng = random.Random(f"{change.__name__} {number}")
        original = both[rng.choice([READ_MODELS, ACCESS_LOG])]
        changed = change(original, rng)
        difference = named(changed, rng.choice([3, 1000]))
        assert difference is not None, number
        assert difference.kind in CHANGES[change], (number, difference)
        assert difference.where == original.stream


def both_cut(found: Audited, rng: random.Random) -> Audited:
    length = _at(found, rng)
    return Audited(found.stream, found.messages[:length], found.rows[:length])


def both_cut_and_refilled(found: Audited, rng: random.Random) -> Audited:
    length = _at(found, rng)
    return _rewritten(found, [m if m.sequence <= length else replace(m, data=b" " + m.data) for m in found.messages])


def a_message_rewritten_with_its_rows(found: Audited, rng: random.Random) -> Audited:
    return _rewritten(found, bit_flipped(found, rng).messages)


def messages_swapped_with_their_rows(found: Audited, rng: random.Random) -> Audited:
    return _rewritten(found, messages_swapped(found, rng).messages)


def an_entry_removed_and_those_behind_moved_up(found: Audited, rng: random.Random) -> Audited:
    return _rewritten(found, a_message_removed_and_those_behind_moved_up(found, rng).messages)


def _rewritten(found: Audited, messages: Sequence[StoredMessage]) -> Audited:
    """With rows as the audit would have written them."""
    rows = [replace(row, sha256=sha256(m.data).hexdigest()) for row, m in zip(found.rows, messages, strict=False)]
    return Audited(found.stream, tuple(messages), chained_anew(found.stream, rows))


REWRITTEN: dict[Change, set[str]] = {
    both_cut: {"log_cut"},
    both_cut_and_refilled: {"chain_differs"},
    a_message_rewritten_with_its_rows: {"chain_differs"},
    messages_swapped_with_their_rows: {"chain_differs"},
    an_entry_removed_and_those_behind_moved_up: {"chain_differs", "log_cut"},
}


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("change", REWRITTEN, ids=lambda change: change.__name__)
def test_a_change_of_both_that_fits_itself_is_found_by_an_anchor(both: dict[str, Audited], change: Change) -> None:
    for number in range(120):
        rng = random.Random(f"{change.__name__} {number}")
        original = both[rng.choice([READ_MODELS, ACCESS_LOG])]
        anchors = [original.head(0), original.head(1), original.head(len(original.rows))]
        assert original.anchored(anchors) is None
        difference = change(original, rng).anchored(anchors)
        assert difference is not None and difference.kind in REWRITTEN[change], (number, difference)


def test_an_anchor_of_another_log_is_told_apart(log_of_events: Audited) -> None:
    other = log_of_events.head(3).model_copy(update={"incarnation": "0" * 32})
    found = log_of_events.anchored([other])
    assert found is not None and found.kind == "other_log"


def test_a_log_that_begins_with_another_event_is_another_log(log_of_events: Audited) -> None:
    other = _put(log_of_events.messages, 0, data=b"another nonce")
    found = replace(log_of_events, messages=other).verify()
    assert found is not None and found.kind == "other_log"


# -- reads age out -------------------------------------------------------------------------------------------------


def test_reads_may_age_out_but_not_go_before_their_time(both: dict[str, Audited]) -> None:
    reads = both[ACCESS_LOG]
    kept = reads.messages[12:]
    now = datetime.now(UTC) + timedelta(days=1)

    def verified(rows: Sequence[AuditRow], kept_since: datetime | None) -> str | None:
        difference = StreamVerifier(reads.stream, 0).compare(kept, rows, kept_since)
        return None if difference is None else difference.kind

    assert verified(reads.rows, now) is None
    assert verified(reads.rows, reads.rows[5].recorded_at) == "message_missing"
    assert verified(reads.rows, None) == "message_missing"
    hole = StreamVerifier(reads.stream, 0).compare((*kept[:3], *kept[4:]), reads.rows, now)
    assert hole is not None and (hole.kind, hole.sequence) == ("message_missing", 16)


def test_of_events_nothing_may_age_out(log_of_events: Audited) -> None:
    now = datetime.now(UTC) + timedelta(days=1)
    found = StreamVerifier(log_of_events.stream, 0).compare(log_of_events.messages[2:], log_of_events.rows, now)
    assert found is not None and (found.kind, found.sequence) == ("message_missing", 1)

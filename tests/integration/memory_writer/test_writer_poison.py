"""Commands and events that nobody can read: refused or put aside, and nobody waits for another."""

import json

import pytest
from contracts import subjects
from contracts.codec import encode
from contracts.commands import AddMemory, PauseApp, ReviseMemory
from contracts.events import MemoryRevised
from contracts.ids import uuid7
from contracts.messages import Event
from contracts.streams import DEAD
from contracts.subjects import event_subject, shard_of
from support.log_events import UID, meta_of
from support.servers import Log, dead_letters, eventually
from support.writer import Sender, all_events, prepared, writing


def _forged(ada: Sender, **changes: object) -> bytes:
    """An add that was changed on its way."""
    command_id = str(changes.get("event_id", uuid7()))
    fields = json.loads(encode(meta_of(command_id, app=ada.app_id), AddMemory(text="poison"), ada.key))
    return json.dumps(fields | changes).encode()


async def _dead(log: Log) -> list[str]:
    """The reasons of all dead letters."""
    return [headers["Memlog-Reason"] for _, headers in await dead_letters(log.js)]


@pytest.mark.guarantee("G12")
@pytest.mark.parametrize("poison", ["no envelope", "of somebody else", "no uuid", "unknown user"])
async def test_a_command_that_is_none_goes_to_the_dead_letters_and_holds_up_nobody(log: Log, poison: str) -> None:
    ada, _ = await prepared(log)
    good = [await ada.send(AddMemory(text="before"))]
    match poison:
        case "no envelope":
            await ada.send_raw(uuid7(), b"\xffgarbage")
        case "of somebody else":
            bob = await Sender(log, "b" * 32).open()
            await ada.send_raw(uuid7(), encode(meta_of(uuid7(), bob.uid), PauseApp(app_id="x"), bob.key))
        case "no uuid":
            await ada.send_raw("not-a-uuid", _forged(ada, event_id="not-a-uuid"))
        case _:
            nobody = "f" * 32
            await log.js.publish(f"memlog.cmd.{shard_of(nobody, 1)}.{nobody}.{uuid7()}", _forged(ada))
    good.append(await ada.send(AddMemory(text="after")))
    async with writing(log):
        outcomes = [await ada.outcome(command_id) for command_id in good]
        assert [outcome.status for outcome in outcomes] == ["done", "done"]
        await eventually(lambda: _is_one(log))
    [reason] = await _dead(log)
    assert reason


async def _is_one(log: Log) -> bool:
    return (await log.js.stream_info(DEAD.name)).state.messages == 1


@pytest.mark.guarantee("G12")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"type": "DreamMemory"}, "undecodable"),
        ({"schema_version": 99}, "unsupported_schema"),
        ({"sealed": "AAAA"}, "content_damaged"),
        ({"data": {"mood": "calm"}}, "undecodable"),
    ],
)
async def test_a_command_that_cannot_be_read_is_refused_and_holds_up_nobody(
    log: Log, changes: dict[str, object], code: str
) -> None:
    ada, _ = await prepared(log)
    poison, before = uuid7(), await ada.send(AddMemory(text="before"))
    await ada.send_raw(poison, _forged(ada, event_id=poison, **changes))
    after = await ada.send(AddMemory(text="after"))
    async with writing(log):
        assert (await ada.outcome(before)).status == (await ada.outcome(after)).status == "done"
        outcome = await ada.outcome(poison)
    assert (outcome.status, outcome.code) == ("refused", code)


async def _damage(log: Log, ada: Sender, what: str, memory_id: str) -> None:
    """An event in the memory's history that nobody can read."""
    event: Event = MemoryRevised(memory_id=memory_id, version=2, text="x")
    raw = encode(meta_of(uuid7()), event, ada.key)
    damaged = {
        "damaged": json.dumps(json.loads(raw) | {"sealed": "AAAA"}).encode(),
        "newer": json.dumps(json.loads(raw) | {"schema_version": 99}).encode(),
        "garbage": b"garbage",
    }[what]
    await log.js.publish(event_subject(shard_of(UID, log.shards), subjects.memory(UID, memory_id)), damaged)


@pytest.mark.guarantee("G12")
@pytest.mark.parametrize(("what", "code"), [
    ("damaged", "content_damaged"), ("newer", "unsupported_schema"), ("garbage", "undecodable")
])  # fmt: skip
async def test_a_memory_that_cannot_be_read_refuses_its_own_commands_only(log: Log, what: str, code: str) -> None:
    ada, [one] = await prepared(log, ["one"])
    await _damage(log, ada, what, one)
    sent = [
        await ada.send(AddMemory(text="before")),
        await ada.send(ReviseMemory(memory_id=one, text="two")),
        await ada.send(AddMemory(text="one")),
        await ada.send(AddMemory(text="after")),
    ]
    async with writing(log):
        outcomes = [await ada.outcome(command_id) for command_id in sent]
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [
        ("done", None), ("refused", code), ("refused", code), ("done", None)
    ]  # fmt: skip


@pytest.mark.guarantee("G12")
@pytest.mark.parametrize("reply", ["", "with space", "a..b"])
async def test_an_answer_that_cannot_be_sent_holds_up_nobody(log: Log, reply: str) -> None:
    ada, _ = await prepared(log)
    command_id = uuid7()
    data = encode(meta_of(command_id, app=ada.app_id), AddMemory(text="one"), ada.key)
    await ada.send_raw(command_id, data, {"Memlog-Reply": reply})
    async with writing(log):
        assert (await ada.do(AddMemory(text="two"))).status == "done"
    assert len([type_ for type_, _ in await all_events(log) if type_ == "MemoryAdded"]) == 2

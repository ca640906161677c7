"""What each command comes to, on a real log of one and of three shards."""

from collections.abc import AsyncGenerator

import pytest
from contracts import ids, subjects
from contracts.commands import (
    AddMemory,
    AnyCommand,
    DeleteMemories,
    PauseApp,
    RegisterApp,
    RegisterUser,
    ResumeApp,
    ReviseMemory,
)
from contracts.events import (
    AppPaused,
    AppRegistered,
    AppResumed,
    MemoryAdded,
    MemoryDeleted,
    MemoryRevised,
    UserRegistered,
)
from contracts.positions import Position
from contracts.streams import commands, events
from support.log_events import APP_NAME, UID
from support.servers import Log
from support.writer import Sender, writing

pytestmark = pytest.mark.parametrize("shards", [1, 3], indirect=True)
UNKNOWN = "00000000-0000-8000-8000-000000000000"


@pytest.fixture
async def ada(log: Log) -> AsyncGenerator[Sender]:
    """A user with an app, and a writer that runs."""
    async with writing(log):
        yield await (await Sender(log).open()).register()


async def _added(ada: Sender, text: str) -> str:
    outcome = await ada.do(AddMemory(text=text))
    assert (outcome.status, outcome.results[0].event) == ("done", "ADD")
    return outcome.results[0].id


async def test_a_user_and_an_app_come_into_being_once(ada: Sender) -> None:
    again = [await ada.do(RegisterUser(name="Ada")), await ada.do(RegisterApp(name=APP_NAME))]
    assert [outcome.status for outcome in again] == ["nothing", "nothing"]
    assert [e.payload for e in await ada.history(subjects.user(UID))] == [UserRegistered(name="Ada")]
    app = subjects.app(UID, ada.app_id)
    assert [e.payload for e in await ada.history(app)] == [AppRegistered(app_id=ada.app_id, name=APP_NAME)]


async def test_an_added_memory_is_in_the_log_where_the_outcome_says(ada: Sender) -> None:
    command = AddMemory(text="Ada prefers tea", metadata={"n": 1}, categories=("drinks",))
    outcome = await ada.do(command)
    [item] = outcome.results
    assert (item.event, item.memory) == ("ADD", "Ada prefers tea")
    [event] = await ada.history(subjects.memory(UID, item.id))
    assert str(event.position) == outcome.position
    assert isinstance(event.payload, MemoryAdded)
    assert (event.payload.text, event.payload.metadata, event.payload.categories) == (
        "Ada prefers tea", {"n": 1}, ("drinks",)
    )  # fmt: skip
    assert event.meta.app == ada.app_id
    assert (event.meta.causation_id, event.meta.final) == (outcome.command_id, True)
    assert event.meta.id == ids.event_id(outcome.command_id, 0)
    assert await ada.settled(outcome.command_id) is None  # its event ends it


@pytest.mark.guarantee("G2")
async def test_an_identical_text_is_not_stored_again_and_names_the_memory_that_is_there(ada: Sender) -> None:
    memory_id = await _added(ada, "Ada prefers tea")
    for text in ("Ada prefers tea", "  Ada   prefers\ntea "):
        outcome = await ada.do(AddMemory(text=text))
        assert (outcome.status, [(i.id, i.event) for i in outcome.results]) == ("nothing", [(memory_id, "NONE")])
        settled = await ada.settled(outcome.command_id)
        assert settled is not None
        assert (settled.outcome, [(r.id, r.event) for r in settled.results]) == ("nothing", [(memory_id, "NONE")])
    assert len(await ada.events(memory_id)) == 1


async def test_a_text_that_differs_is_another_memory(ada: Sender) -> None:
    assert await _added(ada, "flight at 9:15") != await _added(ada, "flight at 9:45")


async def test_a_text_is_added_anew_when_its_memory_was_revised(ada: Sender) -> None:
    first = await _added(ada, "Ada prefers tea")
    await ada.do(ReviseMemory(memory_id=first, text="Ada prefers coffee"))
    second = await _added(ada, "Ada prefers tea")
    assert second != first
    assert (await ada.do(AddMemory(text="Ada prefers tea"))).results[0].id == second


async def test_a_text_is_added_anew_when_its_memory_was_deleted(ada: Sender) -> None:
    taken: list[str] = []
    for _ in range(4):
        taken.append(await _added(ada, "Ada prefers tea"))
        await ada.do(DeleteMemories(memory_ids=(taken[-1],)))
    assert len(set(taken)) == 4
    assert isinstance((await ada.events(taken[0]))[-1], MemoryDeleted)


async def test_a_revision_counts_up_and_says_what_was_there(ada: Sender) -> None:
    memory_id = await _added(ada, "one")
    for version, (before, text) in enumerate([("one", "two"), ("two", "three")], start=2):
        outcome = await ada.do(ReviseMemory(memory_id=memory_id, text=text))
        [item] = outcome.results
        assert (item.event, item.memory, item.previous_memory) == ("UPDATE", text, before)
        last = (await ada.events(memory_id))[-1]
        assert isinstance(last, MemoryRevised)
        assert (last.version, last.text) == (version, text)


async def test_a_revision_to_the_same_text_does_nothing(ada: Sender) -> None:
    memory_id = await _added(ada, "one")
    outcome = await ada.do(ReviseMemory(memory_id=memory_id, text="one"))
    assert (outcome.status, outcome.results[0].event) == ("nothing", "NONE")
    assert len(await ada.events(memory_id)) == 1


async def test_a_memory_is_deleted_once(ada: Sender) -> None:
    memory_id = await _added(ada, "one")
    first = await ada.do(DeleteMemories(memory_ids=(memory_id,)))
    again = await ada.do(DeleteMemories(memory_ids=(memory_id,)))
    assert [(o.status, [i.event for i in o.results]) for o in (first, again)] == [
        ("done", ["DELETE"]), ("nothing", ["NONE"])
    ]  # fmt: skip
    assert [type(event) for event in await ada.events(memory_id)] == [MemoryAdded, MemoryDeleted]
    revised = await ada.do(ReviseMemory(memory_id=memory_id, text="two"))
    assert (revised.status, revised.code) == ("refused", "not_found")


async def test_many_are_deleted_and_what_is_not_there_is_named(ada: Sender) -> None:
    memory_ids = [await _added(ada, f"note {n}") for n in range(3)]
    outcome = await ada.do(DeleteMemories(memory_ids=(memory_ids[0], UNKNOWN, memory_ids[1], memory_ids[0])))
    assert outcome.status == "done"
    assert {(item.id, item.event) for item in outcome.results} == {
        (memory_ids[0], "DELETE"), (UNKNOWN, "NONE"), (memory_ids[1], "DELETE")
    }  # fmt: skip
    assert [len(await ada.events(memory_id)) for memory_id in memory_ids] == [2, 2, 1]
    settled = await ada.settled(outcome.command_id)
    assert settled is not None
    assert settled.outcome == "done"


async def test_all_or_nothing_is_all(ada: Sender) -> None:
    memory_ids = tuple([await _added(ada, f"note {n}") for n in range(3)])
    outcome = await ada.do(DeleteMemories(memory_ids=memory_ids, all_or_nothing=True))
    assert (outcome.status, [item.event for item in outcome.results]) == ("done", ["DELETE"] * 3)


@pytest.mark.parametrize("missing", ["unknown", "deleted"])
async def test_all_or_nothing_is_nothing_when_one_is_not_there(ada: Sender, missing: str) -> None:
    memory_id, other = await _added(ada, "one"), UNKNOWN
    if missing == "deleted":
        other = await _added(ada, "two")
        await ada.do(DeleteMemories(memory_ids=(other,)))
    outcome = await ada.do(DeleteMemories(memory_ids=(memory_id, other), all_or_nothing=True))
    assert (outcome.status, outcome.code) == ("refused", "not_found")
    assert other in (outcome.reason or "")
    assert len(await ada.events(memory_id)) == 1


@pytest.mark.guarantee("G8")
async def test_a_paused_app_may_not_write_until_it_is_resumed(ada: Sender) -> None:
    memory_id = await _added(ada, "one")
    assert (await ada.do(PauseApp(app_id=ada.app_id))).status == "done"
    assert (await ada.do(PauseApp(app_id=ada.app_id))).status == "nothing"
    refused = [
        await ada.do(AddMemory(text="two")),
        await ada.do(ReviseMemory(memory_id=memory_id, text="two")),
        await ada.do(DeleteMemories(memory_ids=(memory_id,))),
    ]
    assert [(outcome.status, outcome.code) for outcome in refused] == [("refused", "app_paused")] * 3
    assert len(await ada.events(memory_id)) == 1
    assert (await ada.do(ResumeApp(app_id=ada.app_id))).status == "done"
    await _added(ada, "two")
    app_events = [type(e.payload) for e in await ada.history(subjects.app(UID, ada.app_id))]
    assert app_events == [AppRegistered, AppPaused, AppResumed]


@pytest.mark.guarantee("G8")
async def test_an_app_that_nobody_registered_may_not_write(ada: Sender) -> None:
    outcome = await ada.do(AddMemory(text="one"), app=UNKNOWN)
    assert (outcome.status, outcome.code) == ("refused", "not_found")


@pytest.mark.parametrize(
    "command",
    [
        PauseApp(app_id=UNKNOWN),
        ResumeApp(app_id=UNKNOWN),
        ReviseMemory(memory_id=UNKNOWN, text="x"),
        DeleteMemories(memory_ids=(UNKNOWN,), all_or_nothing=True),
        ReviseMemory(memory_id="*", text="x"),
        ReviseMemory(memory_id=">", text="x"),
        DeleteMemories(memory_ids=("a.b", "*"), all_or_nothing=True),
        PauseApp(app_id="*"),
    ],
    ids=repr,
)
async def test_every_refusal_ends_in_the_log(ada: Sender, command: AnyCommand) -> None:
    await _added(ada, "something that a wildcard would find")
    outcome = await ada.do(command)
    assert outcome.status == "refused"
    settled = await ada.settled(outcome.command_id)
    assert settled is not None
    assert (settled.command_type, settled.outcome) == (command.type, "refused")
    assert (settled.code, settled.reason) == (outcome.code, outcome.reason)
    [event] = await ada.history(subjects.operation(UID, outcome.command_id))
    assert (str(event.position), event.meta.final) == (outcome.position, True)


@pytest.mark.guarantee("G9")
async def test_users_do_not_meet(ada: Sender, log: Log) -> None:
    bob = await (await Sender(log, "b" * 32).open()).register()
    mine, his = await _added(ada, "the same text"), await _added(bob, "the same text")
    assert mine != his
    for command in (ReviseMemory(memory_id=mine, text="x"), DeleteMemories(memory_ids=(mine,), all_or_nothing=True)):
        outcome = await bob.do(command)
        assert (outcome.status, outcome.code) == ("refused", "not_found")
    assert len(await ada.events(mine)) == 1


async def test_a_users_events_are_on_the_users_shard(ada: Sender, log: Log) -> None:
    people = [await (await Sender(log, f"{n:032x}").open()).register() for n in range(6)]
    for person in people:
        outcome = await person.do(AddMemory(text="one"))
        shard = subjects.shard_of(person.uid, log.shards)
        assert Position.parse(outcome.position).shard == shard
        assert await log.events.read_subject(events(shard).name, f"memlog.evt.{shard}.{person.uid}.>")
    assert (await log.js.stream_info(commands(0).name)).state.messages > 0

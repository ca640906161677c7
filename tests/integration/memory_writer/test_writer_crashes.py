"""The writer dies, is interrupted, is told nothing: one effect each, in order."""

import asyncio
from collections.abc import Sequence

import pytest
from contracts import ids, subjects
from contracts.commands import AddMemory, DeleteMemories, PauseApp, RegisterApp, RegisterUser, ResumeApp, ReviseMemory
from contracts.errors import Unavailable
from contracts.events import MemoryAdded, MemoryDeleted, MemoryRevised
from contracts.ids import uuid7
from contracts.positions import Position
from contracts.streams import WRITER_CONSUMER, commands
from runtime.event_store import NewEvent
from support.log_events import UID, new_event
from support.servers import Log, Servers, eventually, opened
from support.writer import Append, Killed, Sender, all_events, prepared, writing

SHARDS = pytest.mark.parametrize("shards", [1, 3], indirect=True)


class KillAfterAppend:
    """The events are stored, and the process is gone before it knows."""

    def __init__(self) -> None:
        self.appended: list[NewEvent] = []

    async def __call__(self, append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        await append(events)
        self.appended += events
        raise Killed


class KillAfterSome:
    """Only the first `count` events of the command reach the log."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def __call__(self, append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        now, later = events[: self.left], events[self.left :]
        results = await append(now)
        self.left -= len(now)
        if later:
            raise Killed
        return results


class LoseAcks:
    """The events are stored; the writer is told that nobody knows, `times` times."""

    def __init__(self, times: int) -> None:
        self.left = times

    async def __call__(self, append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        results = await append(events)
        if events and self.left > 0:
            self.left -= 1
            return [Unavailable("the acknowledgement was lost") for _ in events]
        return results


class FailOne:
    """The event at this place of the first append is not stored; the others are."""

    def __init__(self, place: int) -> None:
        self.place: int | None = place

    async def __call__(self, append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        if self.place is None or len(events) <= self.place:
            return await append(events)
        place, self.place = self.place, None
        results = await append([*events[:place], *events[place + 1 :]])
        return [*results[:place], Unavailable("not stored"), *results[place:]]


@SHARDS
@pytest.mark.guarantee("G1", "G2")
@pytest.mark.parametrize(
    "command",
    [
        RegisterUser(name="Grace"),
        RegisterApp(name="cursor"),
        AddMemory(text="new"),
        AddMemory(text="one"),
        "revise",
        "revise what is not there",
        "delete",
        "delete some, of which one is not there",
        "delete all or nothing",
        "pause",
        "resume",
    ],
    ids=str,
)
async def test_a_writer_killed_between_append_and_ack_leaves_one_effect(log: Log, command: object) -> None:
    ada, [one, two] = await prepared(log, ["one", "two"])
    named = {
        "revise": ReviseMemory(memory_id=one, text="three"),
        "revise what is not there": ReviseMemory(memory_id=uuid7(), text="three"),
        "delete": DeleteMemories(memory_ids=(one,)),
        "delete some, of which one is not there": DeleteMemories(memory_ids=(one, uuid7(), two)),
        "delete all or nothing": DeleteMemories(memory_ids=(one, two), all_or_nothing=True),
        "pause": PauseApp(app_id=ada.app_id),
        "resume": ResumeApp(app_id=ada.app_id),
    }
    asked = named[command] if isinstance(command, str) else command
    before = len(await all_events(log))
    command_id = await ada.send(asked)  # pyright: ignore[reportArgumentType]
    killed = KillAfterAppend()
    async with writing(log, killed) as writer:
        await eventually(writer.done)
    once = (await all_events(log))[before:]
    assert once
    async with writing(log):
        outcome = await ada.outcome(command_id)
        await ada.do(AddMemory(text="and on it goes"))
    effects = [event for event in (await all_events(log))[before:] if event[1] == command_id]
    # A delete is closed by an event of its own, which the killed writer did not get to.
    closing = [("CommandSettled", command_id)] if once[-1][0] == "MemoryDeleted" else []
    assert effects == once + closing
    settled = await ada.settled(command_id)
    assert outcome.status == ("done" if settled is None else settled.outcome)


@SHARDS
@pytest.mark.guarantee("G1", "G2")
@pytest.mark.parametrize("stored", [0, 1, 2, 3])
async def test_a_command_of_several_events_that_was_cut_off_is_completed(log: Log, stored: int) -> None:
    ada, memory_ids = await prepared(log, ["one", "two", "three"])
    command_id = await ada.send(DeleteMemories(memory_ids=tuple(memory_ids), all_or_nothing=True))
    async with writing(log, KillAfterSome(stored)) as writer:
        await eventually(writer.done)
    assert await ada.settled(command_id) is None
    async with writing(log):
        outcome = await ada.outcome(command_id)
    assert (outcome.status, [item.event for item in outcome.results]) == ("done", ["DELETE"] * 3)
    for memory_id in memory_ids:
        assert [type(event) for event in await ada.events(memory_id)] == [MemoryAdded, MemoryDeleted]
    settled = await ada.settled(command_id)
    assert settled is not None
    assert settled.outcome == "done"


@pytest.mark.guarantee("G1", "G2")
@pytest.mark.parametrize("times", [1, 3])
async def test_acknowledgements_that_were_lost_are_found_again(log: Log, times: int) -> None:
    ada, [one] = await prepared(log, ["one"])
    async with writing(log, LoseAcks(times)):
        sent = [
            await ada.send(AddMemory(text="two")),
            await ada.send(ReviseMemory(memory_id=one, text="one and a half")),
            await ada.send(AddMemory(text="two")),
            await ada.send(DeleteMemories(memory_ids=(one,))),
        ]
        outcomes = [await ada.outcome(command_id) for command_id in sent]
    assert [outcome.status for outcome in outcomes] == ["done", "done", "nothing", "done"]
    assert [type(event) for event in await ada.events(one)] == [MemoryAdded, MemoryRevised, MemoryDeleted]
    assert len(await ada.events(outcomes[0].results[0].id)) == 1


@pytest.mark.guarantee("G1", "G2")
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_command_is_not_done_in_the_log_while_a_part_of_it_is_not(log: Log, place: int) -> None:
    ada, memory_ids = await prepared(log, ["one", "two", "three"])
    async with writing(log, FailOne(place)):
        outcome = await ada.do(DeleteMemories(memory_ids=tuple(memory_ids)))
    assert [item.event for item in outcome.results] == ["DELETE"] * 3
    for memory_id in memory_ids:
        assert [type(event) for event in await ada.events(memory_id)] == [MemoryAdded, MemoryDeleted]
    [settled] = await ada.history(subjects.operation(UID, outcome.command_id))
    last = max([(await ada.history(subjects.memory(UID, m)))[-1].position for m in memory_ids])
    assert settled.position > last


@pytest.mark.guarantee("G3")
async def test_the_commands_behind_a_failed_one_wait_for_it(log: Log) -> None:
    ada, [one] = await prepared(log, ["one"])
    sent = [await ada.send(ReviseMemory(memory_id=one, text=f"version {n}")) for n in range(2, 8)]
    async with writing(log, FailOne(0)):
        for command_id in sent:
            assert (await ada.outcome(command_id)).status == "done"
    assert [event.text for event in await ada.events(one) if isinstance(event, MemoryAdded | MemoryRevised)] == [
        "one", *(f"version {n}" for n in range(2, 8))
    ]  # fmt: skip


@SHARDS
@pytest.mark.guarantee("G3")
async def test_the_order_of_one_aggregate_holds_among_many_commands(log: Log) -> None:
    ada, [one] = await prepared(log, ["one"])
    bob = await Sender(log, "b" * 32).open()
    async with writing(log):
        await bob.register()
        sent: list[tuple[Sender, str]] = []
        for n in range(2, 42):
            sent.append((ada, await ada.send(ReviseMemory(memory_id=one, text=f"version {n}"))))
            sent.append((ada, await ada.send(AddMemory(text=f"note {n}"))))
            sent.append((bob, await bob.send(AddMemory(text=f"note {n % 7}"))))
        outcomes = [await who.outcome(command_id) for who, command_id in sent]
    versions = [event.version for event in await ada.events(one) if isinstance(event, MemoryRevised)]
    assert versions == list(range(2, 42))
    assert [event.text for event in await ada.events(one) if isinstance(event, MemoryRevised)] == [
        f"version {n}" for n in range(2, 42)
    ]
    of_bob = outcomes[2::3]
    assert [outcome.status for outcome in of_bob] == ["done"] * 7 + ["nothing"] * 33
    assert len({outcome.results[0].id for outcome in of_bob}) == 7


@pytest.mark.guarantee("G3", "G8")
async def test_a_pause_holds_for_everything_sent_after_it(log: Log) -> None:
    """Also when all of it waits together and is worked off as one batch."""
    ada, _ = await prepared(log)
    sent = [
        await ada.send(AddMemory(text="before")),
        await ada.send(PauseApp(app_id=ada.app_id)),
        await ada.send(AddMemory(text="between")),
        await ada.send(ResumeApp(app_id=ada.app_id)),
        await ada.send(AddMemory(text="after")),
    ]
    async with writing(log):
        outcomes = [await ada.outcome(command_id) for command_id in sent]
    assert [(outcome.status, outcome.code) for outcome in outcomes] == [
        ("done", None), ("done", None), ("refused", "app_paused"), ("done", None), ("done", None)
    ]  # fmt: skip


@pytest.mark.guarantee("G2")
async def test_what_came_of_a_command_does_not_change_when_it_is_handled_again(log: Log) -> None:
    """Even by an owner that knows nothing: the consumer was lost, and the world has changed since."""
    ada, [one] = await prepared(log, ["one"])
    async with writing(log):
        duplicate = await ada.do(AddMemory(text="one"))
        refused = await ada.do(
            DeleteMemories(memory_ids=(one, ids.memory_id(ada.key.identity, "late", 0)), all_or_nothing=True)
        )
        await ada.do(DeleteMemories(memory_ids=(one,)))
        await ada.do(AddMemory(text="late"))
    assert (duplicate.status, refused.status) == ("nothing", "refused")
    before = await all_events(log)
    await log.js.delete_consumer(commands(0).name, WRITER_CONSUMER)
    async with writing(log):
        await ada.do(AddMemory(text="one more"))  # behind all of them
    after = await all_events(log)
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1


@pytest.mark.guarantee("G3")
async def test_what_somebody_else_appended_is_noticed_and_taken_into_account(log: Log) -> None:
    """A zombie owner, or an erasure: the state in the cache is not the one in the log any more."""
    ada, _ = await prepared(log)
    async with writing(log):
        one = (await ada.do(AddMemory(text="one"))).results[0].id
        [added] = await ada.history(subjects.memory(UID, one))
        foreign = MemoryRevised(memory_id=one, version=2, text="from elsewhere")
        [stored] = await log.events.append(
            [new_event(subjects.memory(UID, one), added.position.sequence, event=foreign, key=ada.key)]
        )
        assert isinstance(stored, Position)
        outcome = await ada.do(ReviseMemory(memory_id=one, text="three"))
    assert (outcome.status, outcome.results[0].previous_memory) == ("done", "from elsewhere")
    assert [event.version for event in await ada.events(one) if isinstance(event, MemoryRevised)] == [2, 3]


@pytest.mark.guarantee("G1", "G2")
async def test_a_server_killed_under_the_writer_loses_no_accepted_command(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        ada = await Sender(log).open()
        async with writing(log):
            await ada.register()
            sent = [await ada.send(AddMemory(text=f"note {n}")) for n in range(60)]
            await servers.kill()
            await servers.start()
            await eventually(lambda: log.client.is_connected)
            sent += [await ada.send(AddMemory(text=f"note {n}")) for n in range(60, 70)]
            await ada.outcome(sent[-1], 30)

            async def all_stored() -> bool:
                return len([t for t, _ in await all_events(log) if t == "MemoryAdded"]) == 70

            await eventually(all_stored)
        effects = [command for type_, command in await all_events(log) if type_ == "MemoryAdded"]
        assert effects == sent


@pytest.mark.guarantee("G1", "G2")
async def test_writers_that_take_over_from_each_other_do_each_command_once(log: Log) -> None:
    ada, _ = await prepared(log)
    sent: list[str] = []

    async def send_all() -> None:
        for n in range(80):
            sent.append(await ada.send(AddMemory(text=f"note {n}")))
            await asyncio.sleep(0)

    sending = asyncio.ensure_future(send_all())
    while not sending.done():
        async with writing(log):
            seen = len(sent)
            await eventually(lambda seen=seen: sending.done() or len(sent) > seen + 15)
    async with writing(log):
        await ada.do(AddMemory(text="last"))
    effects = [command for type_, command in await all_events(log) if type_ == "MemoryAdded"]
    assert effects[:-1] == sent

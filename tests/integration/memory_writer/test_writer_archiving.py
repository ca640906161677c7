"""What a policy asks for is decided by what the log says, not by what somebody knew of it."""

from collections.abc import AsyncGenerator

import pytest
from contracts import subjects
from contracts.commands import AddMemory, ArchiveMemories, PauseApp, ReviseMemory
from contracts.events import MemoryAdded, MemoryArchived, MemoryRevised
from contracts.ids import OWN_APP, uuid7
from memory_writer.many import LARGE
from support.log_events import UID
from support.servers import Log
from support.writer import Sender, writing


@pytest.fixture
async def ada(log: Log) -> AsyncGenerator[Sender]:
    """A user with an app, and a writer that runs."""
    async with writing(log):
        yield await (await Sender(log).open()).register()


async def add(ada: Sender, text: str) -> tuple[str, int]:
    """The memory's id, and the sequence of its last event."""
    memory_id = (await ada.do(AddMemory(text=text))).results[0].id
    return memory_id, (await ada.history(subjects.memory(UID, memory_id)))[-1].position.sequence


async def test_a_memory_that_changed_meanwhile_is_left_alone_and_the_others_are_put_away(ada: Sender) -> None:
    (same, first), (revised, second) = await add(ada, "as it was"), await add(ada, "to be revised")
    await ada.do(ReviseMemory(memory_id=revised, text="revised"))
    command = ArchiveMemories(memory_ids=(same, revised), unchanged_since=(first, second))
    outcome = await ada.do(command, app=OWN_APP)
    assert (outcome.status, outcome.counts) == ("done", {"STATE": 1, "NONE": 1})
    assert [type(event) for event in await ada.events(same)] == [MemoryAdded, MemoryArchived]
    assert [type(event) for event in await ada.events(revised)] == [MemoryAdded, MemoryRevised]
    again = await ada.do(command, app=OWN_APP)
    assert (again.status, again.counts) == ("nothing", {"NONE": 2})


async def test_many_are_put_away_in_chunks_by_the_same_rule(ada: Sender) -> None:
    known = [await add(ada, f"fact number {number}") for number in range(3)]
    await ada.do(ReviseMemory(memory_id=known[1][0], text="revised"))
    unknown = [(uuid7(), 0) for _ in range(LARGE)]
    ids, sequences = zip(known[0], *unknown[:300], known[1], *unknown[300:], known[2], strict=True)
    outcome = await ada.do(ArchiveMemories(memory_ids=ids, unchanged_since=sequences), app=OWN_APP)
    assert (outcome.status, outcome.counts) == ("done", {"STATE": 2, "NONE": LARGE + 1})
    last = [(await ada.events(memory_id))[-1] for memory_id, _ in known]
    assert [type(event) for event in last] == [MemoryArchived, MemoryRevised, MemoryArchived]


async def test_memlogs_own_policy_needs_no_app_that_runs(ada: Sender) -> None:
    memory_id, sequence = await add(ada, "of a paused app")
    await ada.do(PauseApp(app_id=ada.app_id))
    outcome = await ada.do(ArchiveMemories(memory_ids=(memory_id,), unchanged_since=(sequence,)), app=OWN_APP)
    assert outcome.counts == {"STATE": 1}
    assert (await ada.history(subjects.memory(UID, memory_id)))[-1].meta.app == OWN_APP

"""An import is one operation: nothing of it before all of it is there, and all of it whatever stops in between."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from contracts import subjects
from contracts.commands import AddMemory
from contracts.events import AccessRuleSet, AppPaused, CategoryDefined, MemoryAdded, MemoryRevised
from contracts.importing import ImportedCategory, ImportedMemory, ImportedRule, ImportMemories, ImportPart
from contracts.positions import Position
from contracts.streams import events
from contracts.subjects import shard_of
from memory_writer.many import CHUNK
from runtime.event_store import NewEvent
from support.log_events import UID
from support.servers import Log, eventually
from support.writer import Append, Killed, Sender, writing

MANY = 2 * CHUNK + 50
CREATED = datetime(2024, 2, 29, 12, tzinfo=UTC)
IDS = [str(uuid.UUID(int=n + 1)) for n in range(MANY)]


class KillAfterSome:
    """Only the first `count` events of the import reach the log, and then the process is gone."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def __call__(self, append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        if not any(event.meta.app == "a-1" for event in events):
            return await append(events)
        now = events[: self.left]
        results = await append(now)
        self.left -= len(now)
        if len(now) < len(events):
            raise Killed
        return results


def memory(id_: str, text: str = "tea") -> ImportedMemory:
    return ImportedMemory(memory_id=id_, app_id="a-1", text=text, state="paused", created_at=CREATED)


async def staged(ada: Sender, *parts: ImportPart, overwrite: bool = False) -> ImportMemories:
    """The parts are there, and have changed nothing."""
    part_ids: list[str] = []
    for part in parts:
        part_ids.append(await ada.send(part))
        assert (await ada.outcome(part_ids[-1])).status == "nothing"
    sizes = tuple(len(part.things) for part in parts)
    return ImportMemories(parts=tuple(part_ids), sizes=sizes, overwrite=overwrite)


async def types_in_order(log: Log) -> list[str]:
    shard = shard_of(UID, log.shards)
    stored = await log.events.read_subject(events(shard).name, f"memlog.evt.{shard}.{UID}.>")
    return [json.loads(message.data)["type"] for message in stored]


@pytest.mark.guarantee("G1", "G2")
@pytest.mark.parametrize("killed_after", [1, CHUNK, CHUNK + 17])
async def test_an_import_that_was_killed_goes_on_and_each_memory_comes_in_once(log: Log, killed_after: int) -> None:
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        command = await staged(
            ada,
            ImportPart(memories=tuple(memory(id_) for id_ in IDS[:120])),
            ImportPart(memories=tuple(memory(id_) for id_ in IDS[120:])),
        )
    async with writing(log, KillAfterSome(killed_after)) as dying:
        command_id = await ada.send(command)

        async def dead() -> bool:
            return dying.done()

        await eventually(dead)
    assert await ada.settled(command_id) is None
    async with writing(log):
        outcome = await ada.outcome(command_id, 30)
    assert (outcome.status, outcome.counts) == ("done", {"ADD": MANY})
    for id_ in IDS:
        (added,) = await ada.events(id_)
        assert added == MemoryAdded(memory_id=id_, text="tea", state="paused")
    settled = await ada.settled(command_id)
    assert settled is not None and settled.counts == {"ADD": MANY}


async def test_what_hides_memories_comes_in_before_them_and_each_keeps_its_time_and_app(log: Log) -> None:
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        rule = ImportedRule(app_id=ada.app_id, effect="deny", memory_id=IDS[0])
        command = await staged(
            ada,
            ImportPart(
                default_access="own",
                paused_apps=(ada.app_id,),
                rules=(rule,),
                categories=(ImportedCategory(name="Tea", description="all about tea"),),
                memories=(memory(IDS[0]),),
            ),
        )
        before = len(await types_in_order(log))
        outcome = await ada.do(command, app="dashboard-app")
        assert outcome.status == "refused"  # nobody writes in the name of an app that is not known
        outcome = await ada.do(command)
        assert (outcome.status, outcome.counts) == ("done", {"ADD": 1})
        new = (await types_in_order(log))[before + 1 :]
    expected = ["DefaultAccessChanged", AppPaused.type, AccessRuleSet.type, CategoryDefined.type, MemoryAdded.type]
    assert new == [*expected, "CommandSettled"]
    (event,) = await ada.history(subjects.memory(UID, IDS[0]))
    assert (event.meta.occurred_at, event.meta.app) == (CREATED, "a-1")


async def test_an_import_whose_part_is_missing_or_another_changes_nothing(log: Log) -> None:
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        good = await staged(ada, ImportPart(memories=(memory(IDS[0]), memory(IDS[1]))))
        other = await ada.send(AddMemory(text="not a part"))
        await ada.outcome(other)
        for parts, sizes in (
            ((*good.parts, str(uuid.uuid4())), (2, 1)),
            ((*good.parts, other), (2, 1)),
            (good.parts, (3,)),
        ):
            outcome = await ada.do(ImportMemories(parts=parts, sizes=sizes, overwrite=True))
            assert (outcome.status, outcome.code) == ("refused", "conflict")
        assert await ada.events(IDS[0]) == []
        assert (await ada.do(good)).counts == {"ADD": 2}


async def test_an_import_overwrites_or_skips_what_is_there(log: Log) -> None:
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        await ada.do(await staged(ada, ImportPart(memories=(memory(IDS[0]),))))
        again = ImportPart(memories=(memory(IDS[0], "coffee"), memory(IDS[1])))
        assert (await ada.do(await staged(ada, again))).counts == {"NONE": 1, "ADD": 1}
        assert (await ada.do(await staged(ada, again, overwrite=True))).counts == {"UPDATE": 1, "NONE": 1}
        _, revised = await ada.events(IDS[0])
    assert revised == MemoryRevised(memory_id=IDS[0], version=2, text="coffee", metadata={}, state="paused")

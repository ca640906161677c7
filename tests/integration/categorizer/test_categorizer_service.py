"""The reactor on a real log: each text is categorized once, whatever dies or comes again, and nobody waits for it."""

import pytest
from contracts import ids, subjects
from contracts.codec import read_envelope
from contracts.commands import AddMemory, CategorizeMemory, DefineCategory, RemoveCategory, ReviseMemory
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.events import MemoryAdded, MemoryCategorized, MemoryRevised
from contracts.streams import CATEGORIZER_CONSUMER, DEAD, commands, events
from contracts.subjects import ROOT, Aggregate, redrive_subject
from runtime.health import ask_health
from support.categorizer import FaultyEmbedder, categorizing, embedding
from support.log_events import UID, added, new_event
from support.servers import Log, eventually
from support.writer import Sender, writing

ALLERGY = "I am allergic to penicillin"
FLIGHT = "We are flying to Lisbon on the 14th of May"
BEES = "The second hive has lost its queen bee"


async def add(sender: Sender, text: str, categories: tuple[str, ...] = ()) -> str:
    outcome = await sender.do(AddMemory(text=text, categories=categories))
    return outcome.results[0].id


async def categorized(sender: Sender, memory_id: str) -> list[MemoryCategorized]:
    return [event for event in await sender.events(memory_id) if isinstance(event, MemoryCategorized)]


async def categories_of(sender: Sender, memory_id: str, count: int = 1, seconds: float = 60.0) -> tuple[str, ...]:
    """What the memory was given when it was categorized for the `count`-th time."""

    async def there() -> bool:
        return len(await categorized(sender, memory_id)) >= count

    await eventually(there, seconds)
    return (await categorized(sender, memory_id))[count - 1].categories


async def caught_up(log: Log, shard: int = 0) -> None:
    """The categorizer has handled all that the log holds now."""

    async def done() -> bool:
        found = [i for i in await log.js.consumers_info(events(shard).name) if i.name == CATEGORIZER_CONSUMER]
        return bool(found) and (found[0].num_pending or 0) + (found[0].num_ack_pending or 0) == 0

    await eventually(done)


async def sent(log: Log) -> int:
    """How many commands to categorize the log holds."""
    stored = await log.events.read_subject(commands(0).name, f"{ROOT}.cmd.0.>")
    return [read_envelope(message.data)[1] for message in stored].count(CategorizeMemory.type)


@pytest.mark.parametrize("shards", [1, 3], indirect=True)
async def test_a_new_text_is_categorized_and_says_by_which_classifier(
    log: Log, ada: Sender, embedder: FaultyEmbedder
) -> None:
    async with embedding(log, embedder), categorizing(log):
        memory_id = await add(ada, ALLERGY)
        assert await categories_of(ada, memory_id) == ("health",)
        [event] = await categorized(ada, memory_id)
        assert event.by == "classifier"
        health = await ask_health(log.client, "categorizer")
        assert (health.ok, health.facts["classifier"]) == (True, event.model)
        assert event.model is not None
        assert event.model.startswith(f"zero-shot/{embedder.id}/")


async def test_a_revised_text_is_categorized_anew(log: Log, ada: Sender, embedder: FaultyEmbedder) -> None:
    async with embedding(log, embedder), categorizing(log):
        memory_id = await add(ada, ALLERGY)
        assert await categories_of(ada, memory_id) == ("health",)
        await ada.do(ReviseMemory(memory_id=memory_id, text=FLIGHT))
        assert await categories_of(ada, memory_id, 2) == ("travel",)


async def test_what_a_caller_gave_or_a_person_chose_stays(log: Log, ada: Sender, embedder: FaultyEmbedder) -> None:
    async with embedding(log, embedder), categorizing(log):
        given = await add(ada, ALLERGY, ("mine",))
        chosen = await add(ada, FLIGHT)
        await ada.do(CategorizeMemory(memory_id=chosen, categories=("adventure",), by="person"))
        await ada.do(ReviseMemory(memory_id=chosen, text="We are flying to Porto instead"))
        other = await add(ada, "I have to file my tax return")
        assert await categories_of(ada, other) == ("finance",)
        await caught_up(log)
    assert await categorized(ada, given) == []
    assert [event.by for event in (await categorized(ada, chosen))[-1:]] == ["person"]
    revised = [event for event in await ada.events(chosen) if isinstance(event, MemoryRevised)]
    assert revised[0].categories == ("adventure",)


async def test_a_category_of_the_users_own_is_used_from_its_definition_to_its_removal(
    log: Log, ada: Sender, embedder: FaultyEmbedder
) -> None:
    async with embedding(log, embedder), categorizing(log):
        await categories_of(ada, await add(ada, ALLERGY))  # the user's categories are known, and there are none
        await ada.do(DefineCategory(name="beekeeping", description="My bees, hives, honey harvest and mites"))
        assert (await categories_of(ada, await add(ada, BEES)))[0] == "beekeeping"
        await ada.do(RemoveCategory(category_id=ids.category_id(ada.key.identity, "beekeeping")))
        after = await add(ada, f"{BEES} again")
        await categories_of(ada, await add(ada, FLIGHT))
        await caught_up(log)
    assert [event for event in await categorized(ada, after) if "beekeeping" in event.categories] == []


@pytest.mark.guarantee("G2")
async def test_a_text_that_comes_again_has_one_effect(log: Log, ada: Sender, embedder: FaultyEmbedder) -> None:
    async with embedding(log, embedder):
        async with categorizing(log):
            memory_id = await add(ada, ALLERGY)
            await categories_of(ada, memory_id)
            await caught_up(log)
        await log.js.delete_consumer(events(0).name, CATEGORIZER_CONSUMER)  # all of the log comes again
        async with categorizing(log):
            await caught_up(log)
        assert await sent(log) == 1
        await log.js.delete_consumer(events(0).name, CATEGORIZER_CONSUMER)
        await log.js.purge_stream(commands(0).name)  # and the commands have aged out
        async with categorizing(log):
            await caught_up(log)
        assert await sent(log) == 0
    assert len(await categorized(ada, memory_id)) == 1
    assert embedder.seen.count(ALLERGY) == 1, "what is categorized already is not embedded again"


@pytest.mark.guarantee("G2")
async def test_a_crash_between_the_command_and_its_acknowledgement_has_one_effect(
    log: Log, embedder: FaultyEmbedder
) -> None:
    ada = await Sender(log).open()
    text = new_event(Aggregate(UID, "memory", "m"), event=added("m", ALLERGY), key=ada.key)
    await log.events.append([text])
    async with embedding(log, embedder):
        for _ in range(3):  # no writer runs: nothing in the log says that the command was sent
            async with categorizing(log):
                await caught_up(log)
            await log.js.delete_consumer(events(0).name, CATEGORIZER_CONSUMER)
    assert await sent(log) == 1
    async with writing(log):
        assert await categories_of(ada, "m") == ("health",)
    assert len(await categorized(ada, "m")) == 1


@pytest.mark.guarantee("G12", "G13")
async def test_without_an_indexer_it_says_so_delays_nobody_and_catches_up(
    log: Log, ada: Sender, embedder: FaultyEmbedder
) -> None:
    async with categorizing(log):
        memory_ids = [await add(ada, text) for text in (ALLERGY, FLIGHT)]

        async def says_so() -> bool:
            health = await ask_health(log.client, "categorizer")
            return not health.ok and "indexer" in (health.detail or "")

        await eventually(says_so)
        assert isinstance((await ada.events(memory_ids[0]))[0], MemoryAdded)
        async with embedding(log, embedder):
            assert [await categories_of(ada, memory_id) for memory_id in memory_ids] == [("health",), ("travel",)]

            async def well() -> bool:
                return (await ask_health(log.client, "categorizer")).ok

            await eventually(well)


@pytest.mark.guarantee("G12")
async def test_a_text_that_cannot_be_categorized_delays_nobody_and_is_redriven(
    log: Log, ada: Sender, embedder: FaultyEmbedder
) -> None:
    embedder.bad = {"penicillin"}
    async with embedding(log, embedder), categorizing(log):
        poisoned = await add(ada, ALLERGY)
        assert await categories_of(ada, await add(ada, FLIGHT)) == ("travel",)
        subject = subjects.dead_subject(CATEGORIZER_CONSUMER, subjects.event_subject(0, subjects.memory(UID, poisoned)))

        async def letters() -> int:
            return len(await log.events.read_subject(DEAD.name, subject))

        await eventually(letters)
        assert await categorized(ada, poisoned) == []
        request = RedriveRequest(subject=subject).model_dump_json().encode()

        async def redrive() -> str | None:
            answer = await log.client.request(redrive_subject(CATEGORIZER_CONSUMER, 0), request, timeout=60)
            return RedriveReply.model_validate_json(answer.data).stays

        assert "a defect in the indexer" in (await redrive() or "")
        assert await letters() == 1, "its cause is still there"
        embedder.bad = set()
        assert await redrive() is None
        assert await letters() == 0
        assert await categories_of(ada, poisoned) == ("health",)

"""Texts that a model reads, as the writer sees them: received, and later carried out; once, whole, whatever dies."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from contracts import ids, subjects
from contracts.api import Outcome
from contracts.codec import encode
from contracts.commands import (
    AddMemory,
    DeleteMemories,
    FactDecision,
    PauseApp,
    ProcessText,
    ReprocessText,
    ReviseMemory,
)
from contracts.errors import Unavailable
from contracts.events import CommandSettled, MemoryAdded, ReprocessingRequested, TextProcessed, TextReceived
from contracts.ids import uuid7
from contracts.messages import Event
from contracts.positions import Position
from contracts.streams import EXTRACTION_CONSUMER, events
from contracts.subjects import event_subject
from runtime.event_store import NewEvent
from support.log_events import meta_of
from support.servers import Log, eventually, running
from support.writer import Append, Killed, Sender, writing

TEXT = "I moved to Bern, and I prefer coffee now"


def process(source: str, *decisions: FactDecision, operation: str | None = None) -> ProcessText:
    return ProcessText(
        source_id=source, operation_id=operation or source, outcome="extracted", decisions=decisions, model="m"
    )


def add(text: str) -> FactDecision:
    return FactDecision(event="ADD", text=text)


@pytest.fixture(autouse=True)
async def nobody_reads(log: Log) -> AsyncGenerator[None]:
    """Somebody else owns the reading of texts, and does not do it."""
    held = asyncio.Event()

    async def hold(_: int) -> None:
        held.set()
        await asyncio.Event().wait()

    leases = await log.leases("somebody else")
    async with running(leases.run_owned(f"{EXTRACTION_CONSUMER}.0", hold)):
        await held.wait()
        yield


@pytest.fixture
async def ada(log: Log) -> AsyncGenerator[Sender]:
    async with writing(log):
        yield await (await Sender(log).open()).register()


async def receive(sender: Sender, **fields: object) -> str:
    """The id of a text that is in the log."""
    command_id = await sender.send(AddMemory.model_validate({"text": TEXT, "infer": True, **fields}))

    async def there() -> bool:
        return bool(await sender.history(subjects.source(sender.uid, command_id)))

    await eventually(there)
    return command_id


async def of_source(sender: Sender, source: str) -> list[Event | None]:
    return [event.payload for event in await sender.history(subjects.source(sender.uid, source))]


async def memories(sender: Sender, outcome: Outcome) -> list[tuple[str, str | None]]:
    return [(item.event, item.memory) for item in outcome.results]


async def test_a_text_to_infer_from_is_received_and_its_operation_stays_open(log: Log, ada: Sender) -> None:
    source = await receive(ada, metadata={"chat": 7}, categories=["home"])
    [received] = await of_source(ada, source)
    assert received == TextReceived(source_id=source, text=TEXT, metadata={"chat": 7}, categories=("home",))
    [event] = await ada.history(subjects.source(ada.uid, source))
    assert not event.meta.final
    assert await ada.settled(source) is None
    stream, subject = events(0).name, event_subject(0, subjects.source(ada.uid, source))
    [stored] = await log.events.read_subject(stream, subject)
    assert stored.headers["Memlog-Reply"].endswith(source), "who goes on with it knows who waits"


async def test_what_was_decided_is_carried_out_and_ends_the_operation_that_brought_the_text(ada: Sender) -> None:
    bern = (await ada.do(AddMemory(text="Lives in Zürich"))).results[0].id
    cat = (await ada.do(AddMemory(text="Has a cat"))).results[0].id
    source = await receive(ada, metadata={"chat": 7}, categories=["home"])
    outcome = await ada.do(
        process(
            source,
            FactDecision(
                event="UPDATE", text="Lives in Bern", memory_id=bern, version=1, previous_text="Lives in Zürich"
            ),
            add("Prefers coffee"),
            FactDecision(event="DELETE", text="The cat died", memory_id=cat, version=1, previous_text="Has a cat"),
            FactDecision(event="NONE", text="Is alive", memory_id=cat),
        )
    )
    assert (outcome.command_id, outcome.status) == (source, "done")
    assert [(item.event, item.memory, item.previous_memory) for item in outcome.results] == [
        ("UPDATE", "Lives in Bern", "Lives in Zürich"),
        ("ADD", "Prefers coffee", None),
        ("DELETE", None, "Has a cat"),
        ("NONE", "Is alive", None),
    ]
    [added] = await ada.events(outcome.results[1].id)
    assert isinstance(added, MemoryAdded)
    assert (added.metadata, added.categories) == ({"chat": 7}, ("home",))
    _, processed = await of_source(ada, source)
    assert isinstance(processed, TextProcessed)
    assert [(item.event, item.text, item.previous_text) for item in processed.items] == [
        ("UPDATE", "Lives in Bern", "Lives in Zürich"),
        ("ADD", "Prefers coffee", None),
        ("DELETE", "The cat died", "Has a cat"),
        ("NONE", "Is alive", None),
    ]
    settled = await ada.settled(source)
    assert settled is not None
    assert (settled.command_type, settled.outcome, settled.counts) == (
        "AddMemory", "done", {"UPDATE": 1, "ADD": 1, "DELETE": 1, "NONE": 1},
    )  # fmt: skip


async def test_a_memory_that_changed_meanwhile_is_left_alone_and_the_fact_is_added(ada: Sender) -> None:
    home = (await ada.do(AddMemory(text="Lives in Zürich"))).results[0].id
    cat = (await ada.do(AddMemory(text="Has a cat"))).results[0].id
    gone = (await ada.do(AddMemory(text="Plays chess"))).results[0].id
    source = await receive(ada)
    await ada.do(ReviseMemory(memory_id=home, text="Lives in Zürich-Oerlikon"))
    await ada.do(ReviseMemory(memory_id=cat, text="Has a black cat"))
    await ada.do(DeleteMemories(memory_ids=(gone,)))
    outcome = await ada.do(
        process(
            source,
            FactDecision(event="UPDATE", text="Lives in Bern", memory_id=home, version=1, previous_text="Lives …"),
            FactDecision(event="DELETE", text="The cat died", memory_id=cat, version=1, previous_text="Has a cat"),
            FactDecision(event="UPDATE", text="Plays go", memory_id=gone, version=1, previous_text="Plays chess"),
        )
    )
    assert await memories(ada, outcome) == [("ADD", "Lives in Bern"), ("NONE", "The cat died"), ("ADD", "Plays go")]
    assert outcome.results[0].id not in (home, cat, gone)
    assert [getattr(event, "text", None) for event in await ada.events(cat)] == ["Has a cat", "Has a black cat"]


async def test_a_fact_that_is_remembered_word_for_word_is_not_stored_twice(ada: Sender) -> None:
    known = await ada.do(AddMemory(text="Prefers coffee"))
    source = await receive(ada)
    outcome = await ada.do(process(source, add("Prefers  coffee"), add("Lives in Bern"), add(" Lives in Bern")))
    assert await memories(ada, outcome) == [
        ("NONE", "Prefers  coffee"), ("ADD", "Lives in Bern"), ("NONE", " Lives in Bern"),
    ]  # fmt: skip
    assert outcome.results[0].id == known.results[0].id
    again = await ada.do(process(await receive(ada), add("Lives in Bern")))
    assert again.status == "nothing"


async def test_a_fact_that_says_what_an_updated_memory_said_is_kept(ada: Sender) -> None:
    tea = (await ada.do(AddMemory(text="Likes tea"))).results[0].id
    source = await receive(ada)
    update = FactDecision(event="UPDATE", text="Likes coffee", memory_id=tea, version=1, previous_text="Likes tea")
    outcome = await ada.do(process(source, update, add("Likes tea")))
    assert await memories(ada, outcome) == [("UPDATE", "Likes coffee"), ("ADD", "Likes tea")]
    assert outcome.results[1].id != tea


async def test_small_talk_ends_its_operation_with_no_results(ada: Sender) -> None:
    source = await receive(ada)
    outcome = await ada.do(process(source))
    assert (outcome.command_id, outcome.status, outcome.results) == (source, "done", [])
    _, processed = await of_source(ada, source)
    assert processed == TextProcessed(source_id=source, outcome="extracted", model="m")


async def test_a_text_that_no_model_could_read_is_stored_as_it_is_and_says_why(ada: Sender) -> None:
    source = await receive(ada, categories=["home"])
    command = ProcessText(source_id=source, operation_id=source, outcome="verbatim", reason="it refused")
    outcome = await ada.do(command)
    assert (await memories(ada, outcome), outcome.reason) == ([("ADD", TEXT)], "it refused")
    _, processed = await of_source(ada, source)
    assert isinstance(processed, TextProcessed)
    assert (processed.outcome, processed.reason, len(processed.items)) == ("verbatim", "it refused", 1)
    settled = await ada.settled(source)
    assert settled is not None
    assert (settled.outcome, settled.reason) == ("done", "it refused")


async def test_reprocessing_has_an_operation_of_its_own_and_keeps_what_was_found_when_it_fails(ada: Sender) -> None:
    source = await receive(ada)
    first = await ada.do(process(source, add("Lives in Bern")))
    operation = await ada.send(ReprocessText(source_id=source))

    async def asked() -> bool:
        return ReprocessingRequested(source_id=source) in await of_source(ada, source)

    await eventually(asked)
    assert await ada.settled(operation) is None
    failed = ProcessText(source_id=source, operation_id=operation, outcome="verbatim", reason="it refused")
    outcome = await ada.do(failed)
    assert (outcome.command_id, outcome.status, outcome.code, outcome.reason, outcome.results) == (
        operation, "refused", "language_model_failed", "it refused", [],
    )  # fmt: skip
    settled = await ada.settled(operation)
    assert settled is not None
    assert settled.command_type == "ReprocessText"
    assert len(await ada.events(first.results[0].id)) == 1
    unknown = await ada.do(ReprocessText(source_id=uuid7()))
    assert (unknown.status, unknown.code) == ("refused", "not_found")


async def test_a_paused_app_brings_no_text_but_what_it_brought_before_is_carried_out(ada: Sender) -> None:
    source = await receive(ada)
    await ada.do(PauseApp(app_id=ada.app_id))
    refused = await ada.do(AddMemory(text=TEXT, infer=True))
    assert (refused.status, refused.code) == ("refused", "app_paused")
    assert await memories(ada, await ada.do(process(source, add("Lives in Bern")))) == [("ADD", "Lives in Bern")]


class _KillAfter:
    """The first `count` events of what is decided about a text reach the log; then the process is gone."""

    def __init__(self, count: int) -> None:
        self.left = count

    async def __call__(self, append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        if all(isinstance(event.event, TextReceived) for event in events):
            return await append(events)
        now, later = events[: self.left], events[self.left :]
        results = await append(now)
        self.left -= len(now)
        if later or self.left == 0:
            raise Killed
        return results


@pytest.mark.guarantee("G1", "G2")
@pytest.mark.parametrize("stored", range(6))
async def test_a_writer_that_dies_in_the_middle_of_carrying_out_a_text_appends_what_is_missing(
    log: Log, stored: int
) -> None:
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        tea = (await ada.do(AddMemory(text="Likes tea"))).results[0].id
        cat = (await ada.do(AddMemory(text="Has a cat"))).results[0].id
        source = await receive(ada)
    command = process(
        source,
        FactDecision(event="UPDATE", text="Likes coffee", memory_id=tea, version=1, previous_text="Likes tea"),
        add("Likes tea"),
        FactDecision(event="DELETE", text="The cat died", memory_id=cat, version=1, previous_text="Has a cat"),
    )
    command_id = await ada.send(command)
    async with writing(log, _KillAfter(stored)) as dying:
        await asyncio.wait((dying,), timeout=15)
        assert dying.done(), "it was to die"
    async with writing(log):
        # Whoever waited is told, even by the one who comes after.
        outcome = await ada.outcome(command_id)
        again = await ada.do(AddMemory(text="something else"))
        assert again.status == "done"
    assert (outcome.results[0].event, outcome.results[0].id) == ("UPDATE", tea)
    assert outcome.counts == {"UPDATE": 1, "ADD": 1, "DELETE": 1}
    assert [type(event).__name__ for event in await ada.events(tea)] == ["MemoryAdded", "MemoryRevised"]
    assert [type(event).__name__ for event in await ada.events(cat)] == ["MemoryAdded", "MemoryDeleted"]
    kept = ids.memory_id(ada.key.identity, "Likes tea", 1)
    assert [type(event).__name__ for event in await ada.events(kept)] == ["MemoryAdded"]
    assert [type(event).__name__ for event in await of_source(ada, source)] == ["TextReceived", "TextProcessed"]
    assert isinstance(await ada.settled(source), CommandSettled)


async def test_a_text_is_processed_in_the_log_when_all_that_was_decided_is(log: Log) -> None:
    failures = [Unavailable("not stored")]

    async def fail_first(append: Append, events: Sequence[NewEvent]) -> list[Position | Exception]:
        if not failures or not any(isinstance(event.event, MemoryAdded) for event in events):
            return await append(events)
        return [failures.pop(), *await append(events[1:])]

    ada = await Sender(log).open()
    async with writing(log, fail_first):
        await ada.register()
        source = await receive(ada)
        outcome = await ada.do(process(source, add("Lives in Bern"), add("Prefers coffee")))
    assert failures == []
    [*_, last] = await ada.history(subjects.source(ada.uid, source))
    assert isinstance(last.payload, TextProcessed)
    for item in outcome.results:
        [event] = await ada.history(subjects.memory(ada.uid, item.id))
        assert event.position.sequence < last.position.sequence
    [settled] = await ada.history(subjects.operation(ada.uid, source))
    assert settled.position.sequence > last.position.sequence


async def test_a_decision_that_cannot_be_read_is_refused_and_its_command_told(ada: Sender) -> None:
    source = await receive(ada)
    command = process(uuid7(), add("Lives in Bern"), operation=source)
    outcome = await ada.do(command)
    assert (outcome.command_id, outcome.status, outcome.code) == (source, "refused", "not_found")
    other = uuid7()
    await ada.send_raw(other, encode(meta_of(other, ada.uid), process(source, add("Lives in Bern")), ada.key))
    assert (await ada.outcome(other)).command_id == source

"""The reactor on a real log, with a model that does as it is told: what waits, what is given up, what comes again."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
from contracts import subjects
from contracts.api import Outcome, SearchReply, SearchRequest
from contracts.codec import read_envelope
from contracts.commands import AddMemory, ProcessText, ReprocessText
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.errors import LanguageModelAway, LanguageModelFailed
from contracts.events import TextProcessed, TextReceived
from contracts.ids import uuid7
from contracts.streams import EXTRACTION_CONSUMER, commands, events
from contracts.subjects import ROOT, SEARCH, redrive_subject
from memory_writer.extraction import owner
from memory_writer.extraction.deciding import Facts
from nats.aio.msg import Msg
from pydantic import BaseModel
from runtime.health import ask_health
from runtime.language_model import Answered
from runtime.nats import subscribe
from support.keys import KEY
from support.log_events import UID, new_event
from support.servers import Log, dead_letters, eventually
from support.writer import Sender, writing

T = TypeVar("T", bound=BaseModel)
OTHER = "fedcba9876543210fedcba9876543210"


@dataclass
class Model:
    """Finds the text itself as the only fact. `fail` says what it raises instead, `hold` what it waits for first."""

    name: str = "fake:model"
    failure: str | None = None
    asked: list[str] = field(default_factory=list[str])
    fail: Callable[[str], Exception | None] = lambda text: None
    hold: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])

    async def ask(self, system: str, user: str, answer: type[T]) -> Answered[T]:
        assert answer is Facts, "nothing similar is known"
        self.asked.append(user)
        if user in self.hold:
            await self.hold[user].wait()
        error = self.fail(user)
        if error is not None:
            raise error
        return Answered(answer.model_validate({"facts": [f"Fact: {user}"]}), self.name, 1, 1, 1)

    async def close(self) -> None:
        return None


@dataclass
class Chosen:
    """Stands for the settings that choose a model."""

    model: Model | None
    failure: str | None = None

    async def refresh(self) -> None:
        return None

    async def follow(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """What whoever runs a writer has chosen."""
    model = Model()
    _choose(monkeypatch, model)
    return model


def _choose(monkeypatch: pytest.MonkeyPatch, model: Model | None) -> None:
    def chosen(*_: object) -> Chosen:
        return Chosen(model)

    monkeypatch.setattr(owner, "ChosenLanguageModel", chosen)


@pytest.fixture
async def searches(log: Log) -> AsyncGenerator[list[SearchRequest]]:
    """What an indexer is asked that knows nothing."""
    asked: list[SearchRequest] = []

    async def search(message: Msg) -> None:
        asked.append(SearchRequest.model_validate_json(message.data))
        await message.respond(SearchReply().model_dump_json().encode())

    subscription = await subscribe(log.client, SEARCH, search)
    yield asked
    await subscription.unsubscribe()


async def opened(log: Log, uid: str = UID) -> Sender:
    return await (await Sender(log, uid).open()).register()


async def tell(sender: Sender, text: str) -> str:
    return await sender.send(AddMemory(text=text, infer=True))


async def processed(sender: Sender, source: str) -> list[TextProcessed]:
    history = await sender.history(subjects.source(sender.uid, source))
    return [event.payload for event in history if isinstance(event.payload, TextProcessed)]


async def ended(sender: Sender, source: str, seconds: float = 60.0) -> TextProcessed:
    async def over() -> bool:
        return bool(await processed(sender, source))

    await eventually(over, seconds)
    [only] = await processed(sender, source)
    return only


async def decisions(log: Log) -> int:
    """How many texts were decided about, by the commands of the log."""
    stored = await log.events.read_subject(commands(0).name, f"{ROOT}.cmd.0.>")
    return [read_envelope(message.data)[1] for message in stored].count(ProcessText.type)


async def test_who_waits_is_told_what_became_of_the_text(log: Log, model: Model, searches: list[SearchRequest]) -> None:
    async with writing(log):
        ada = await opened(log)
        source = await tell(ada, "I moved to Bern")
        outcome = await ada.outcome(source)
        assert (outcome.command_id, [item.memory for item in outcome.results]) == (source, ["Fact: I moved to Bern"])
        assert (await ended(ada, source)).model == "fake:model"
        [event] = [e for e in await ada.history(subjects.source(UID, source)) if isinstance(e.payload, TextReceived)]
        [search] = searches
        assert search.min_sequence >= event.position.sequence, "what was written before is found"
        assert search.access is not None


async def test_while_the_model_is_away_who_waits_is_told_not_to_and_the_text_is_read_when_it_is_back(
    log: Log, model: Model, searches: list[SearchRequest]
) -> None:
    model.fail = lambda text: LanguageModelAway("away for tea")
    async with writing(log):
        ada, ben = await opened(log), await opened(log, OTHER)
        sent = [(ada, await tell(ada, f"text {number}")) for number in range(5)] + [(ben, await tell(ben, "hello"))]
        told = [await sender.outcome(source, 5) for sender, source in sent]
        assert {outcome.status for outcome in told} == {"later"}
        assert {outcome.reason for outcome in told} == {"away for tea"}
        assert (await ben.do(AddMemory(text="verbatim"))).status == "done"
        health = await ask_health(log.client, "memory-writer")
        assert health.ok
        assert health.facts["texts.0"] == {"waiting": 6, "because": "away for tea"}
        model.fail = lambda text: None
        for sender, source in sent:
            assert (await ended(sender, source)).outcome == "extracted"
        assert [text for text in dict.fromkeys(model.asked) if text != "hello"] == [f"text {n}" for n in range(5)]


async def test_a_text_that_waited_for_too_long_is_stored_as_it_is(
    log: Log, model: Model, searches: list[SearchRequest]
) -> None:
    model.fail = lambda text: LanguageModelAway("away for good")
    async with writing(replace(log, settings=log.settings.model_copy(update={"llm_patience": 0.5}))):
        ada = await opened(log)
        found = await ended(ada, await tell(ada, "I moved to Bern"))
    assert found.outcome == "verbatim"
    assert found.reason == "not read for 0:00:00.500000: away for good; the text is stored as it is"
    assert [item.text for item in found.items] == ["I moved to Bern"]


@pytest.mark.parametrize("error", [LanguageModelFailed("it refuses"), RuntimeError("a defect")])
async def test_a_text_that_cannot_be_read_is_stored_as_it_is_and_delays_nobody(
    log: Log, model: Model, searches: list[SearchRequest], error: Exception
) -> None:
    model.fail = lambda text: error if text == "bad" else None
    async with writing(log):
        ada = await opened(log)
        bad, good = await tell(ada, "bad"), await tell(ada, "good")
        assert (await ended(ada, good)).outcome == "extracted"
        found = await ended(ada, bad)
    assert found.outcome == "verbatim"
    assert model.asked == ["bad", "good"]


async def test_without_a_model_a_text_that_was_to_be_read_is_stored_as_it_is(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    _choose(monkeypatch, None)
    async with writing(log):
        ada = await opened(log)
        found = await ended(ada, await tell(ada, "I moved to Bern"))
    assert found.reason == "no language model is configured; the text is stored as it is"


@pytest.mark.parametrize("shards", [1, 3], indirect=True)
async def test_users_are_served_side_by_side_and_the_texts_of_one_after_the_other(
    log: Log, model: Model, searches: list[SearchRequest]
) -> None:
    release = model.hold["slow"] = asyncio.Event()
    async with writing(log):
        ada, ben = await opened(log), await opened(log, OTHER)
        slow, after = await tell(ada, "slow"), await tell(ada, "after")
        assert (await ended(ben, await tell(ben, "quick"))).outcome == "extracted"
        assert await processed(ada, slow) == []
        assert "after" not in model.asked
        release.set()
        await ended(ada, after)
    assert model.asked.index("slow") < model.asked.index("after")


@pytest.mark.guarantee("G2", "G6")
async def test_texts_that_come_again_are_not_read_again(log: Log, model: Model, searches: list[SearchRequest]) -> None:
    async with writing(log):
        ada = await opened(log)
        sources = [await tell(ada, f"text {number}") for number in range(3)]
        for source in sources:
            await ended(ada, source)
    for _ in range(2):
        await log.js.delete_consumer(events(0).name, EXTRACTION_CONSUMER)  # all of the log comes again
        async with writing(log):
            await ended(ada, await tell(ada, f"text {uuid7()}"))
    assert len(model.asked) == 5
    assert await decisions(log) == 5


async def test_a_text_that_was_being_read_when_the_reactor_died_is_read_by_the_next_one(
    log: Log, model: Model, searches: list[SearchRequest]
) -> None:
    async with writing(log):
        ada = await opened(log)
        model.hold["text"] = asyncio.Event()
        source = await tell(ada, "text")

        async def begun() -> bool:
            return model.asked == ["text"]

        await eventually(begun)
    # It died while the model thought: nobody knows what it would have said, and the text is read by the next one.
    model.hold.clear()
    async with writing(log):
        await ended(ada, source)
    assert model.asked == ["text", "text"]
    assert await decisions(log) == 1


async def test_reprocessing_reads_a_text_again_and_its_operation_tells(
    log: Log, model: Model, searches: list[SearchRequest]
) -> None:
    async with writing(log):
        ada = await opened(log)
        source = await tell(ada, "text")
        await ended(ada, source)
        again: Outcome = await ada.do(ReprocessText(source_id=source))
        assert (again.status, [item.event for item in again.results]) == ("nothing", ["NONE"])
        model.fail = lambda text: LanguageModelFailed("it refuses")
        failed = await ada.do(ReprocessText(source_id=source))
        assert (failed.status, failed.reason) == ("refused", "it refuses; what was found before stays")
    assert [each.outcome for each in await processed(ada, source)] == ["extracted", "extracted", "verbatim"]
    assert len(await ada.events(again.results[0].id)) == 1


@pytest.mark.guarantee("G12")
async def test_a_text_that_does_not_open_is_put_aside_and_can_be_tried_again(
    log: Log, model: Model, searches: list[SearchRequest]
) -> None:
    async with writing(log):
        ada = await opened(log)
        bad = uuid7()
        event = TextReceived(source_id=bad, text="sealed with another key")
        await log.events.append([new_event(subjects.source(UID, bad), event=event, key=KEY)])
        await ended(ada, await tell(ada, "good"))

        async def buried() -> bool:
            return len(await dead_letters(log.js)) == 1

        await eventually(buried)
        subject = subjects.dead_subject(EXTRACTION_CONSUMER, subjects.event_subject(0, subjects.source(UID, bad)))
        request = RedriveRequest(subject=subject).model_dump_json().encode()
        reply = await log.client.request(redrive_subject(EXTRACTION_CONSUMER, 0), request, timeout=60)
        assert RedriveReply.model_validate_json(reply.data).error is None

        async def again() -> bool:
            return (await log.js.stream_info("MEMLOG_DEAD")).state.last_seq == 2

        await eventually(again)
        dropped = RedriveRequest(subject=subject, without=[int((await _letter(log))["Memlog-Sequence"])])
        await log.client.request(
            redrive_subject(EXTRACTION_CONSUMER, 0), dropped.model_dump_json().encode(), timeout=10
        )
        assert (await log.js.stream_info("MEMLOG_DEAD")).state.messages == 0


async def _letter(log: Log) -> dict[str, str]:
    return (await log.js.get_msg("MEMLOG_DEAD", seq=2)).headers or {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


async def test_an_index_that_is_away_delays_a_text_and_costs_it_nothing(log: Log, model: Model) -> None:
    async with writing(log):
        ada = await opened(log)
        source = await tell(ada, "text")

        async def tried() -> bool:
            return model.asked == ["text"]

        await eventually(tried)

        async def search(message: Msg) -> None:
            await message.respond(SearchReply().model_dump_json().encode())

        subscription = await subscribe(log.client, SEARCH, search)
        assert (await ended(ada, source)).outcome == "extracted"
        assert model.asked == ["text"], "what the model said first is kept"
        await subscription.unsubscribe()

"""The reactor with a language model: texts get the categories that it says, and wait for nobody."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping

import pytest
from categorizer import beside, handler
from contracts.commands import (
    ActivateMemories,
    AddMemory,
    CategorizeMemory,
    DefineCategory,
    DeleteMemories,
    PauseMemories,
    ReviseMemory,
)
from contracts.events import MemoryCategorized
from contracts.streams import CATEGORIZER_CONSUMER, DEAD, events
from runtime import language_model_breaker, openai_model
from runtime.health import ask_health
from support.categorizer import FaultyEmbedder, categorizing, embedding
from support.chat_model import Asked, ChatModel
from support.faults import Fault, hang, refusal, says, status
from support.openai_server import OpenAIServer, openai_server
from support.servers import Log, eventually
from support.writer import Sender

ALLERGY = "I am allergic to penicillin"
FLIGHT = "We are flying to Lisbon on the 14th of May"


@pytest.fixture(scope="module")
async def running() -> AsyncGenerator[OpenAIServer]:
    async with openai_server() as server:
        yield server


@pytest.fixture
def chat(running: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> ChatModel:
    """It says that everything is `gossip`, and has to be right at once."""
    monkeypatch.setattr(openai_model, "_PAUSE_FIRST_S", 0.01)
    monkeypatch.setattr(handler, "_RETRY_FIRST", 0.05)
    monkeypatch.setattr(language_model_breaker, "_FIRST_S", 0.05)
    monkeypatch.setattr(language_model_breaker, "_MOST_S", 0.2)
    running.chat = ChatModel(script=lambda _: {"categories": ["gossip"]})
    return running.chat


@pytest.fixture
def llm(running: OpenAIServer, chat: ChatModel) -> Mapping[str, object]:
    return {"llm": "talker", "llm_base_url": running.url}


def about(asked: Asked) -> str:
    """The text that the model is asked about."""
    return json.loads(asked.user)["memory"]


async def add(sender: Sender, text: str, categories: tuple[str, ...] = ()) -> str:
    outcome = await sender.do(AddMemory(text=text, categories=categories))
    return outcome.results[0].id


async def categorized(sender: Sender, memory_id: str) -> list[MemoryCategorized]:
    return [event for event in await sender.events(memory_id) if isinstance(event, MemoryCategorized)]


async def answer(sender: Sender, memory_id: str, count: int = 1) -> tuple[str, tuple[str, ...]]:
    """By whom the memory was categorized for the `count`-th time, and how."""

    async def there() -> bool:
        return len(await categorized(sender, memory_id)) >= count

    await eventually(there)
    event = (await categorized(sender, memory_id))[count - 1]
    return event.by, event.categories


async def caught_up(log: Log) -> None:
    async def done() -> bool:
        found = [i for i in await log.js.consumers_info(events(0).name) if i.name == CATEGORIZER_CONSUMER]
        return bool(found) and (found[0].num_pending or 0) + (found[0].num_ack_pending or 0) == 0

    await eventually(done)


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize("shards", [1, 3], indirect=True)
async def test_new_and_revised_texts_get_what_the_model_says_and_both_say_which_model(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object], embedder: FaultyEmbedder
) -> None:
    chat.script = lambda asked: {"categories": ["Travel", "bird watching"] if about(asked) == FLIGHT else ["gossip"]}
    async with embedding(log, embedder), categorizing(log, **llm):
        memory_id = await add(ada, ALLERGY)
        assert await answer(ada, memory_id) == ("model", ("gossip",))
        await ada.do(ReviseMemory(memory_id=memory_id, text=FLIGHT))
        assert await answer(ada, memory_id, 2) == ("model", ("travel", "bird watching"))
        health = await ask_health(log.client, "categorizer")
    assert [about(asked) for asked in chat.asked] == [ALLERGY, FLIGHT]
    model = (await categorized(ada, memory_id))[0].model
    assert model is not None
    assert model.startswith("openai:talker@127.0.0.1:")
    assert (health.ok, health.facts["llm"], health.facts["llm_failure"]) == (True, model, None)


async def test_the_users_own_categories_are_offered(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object]
) -> None:
    async with categorizing(log, **llm):
        await answer(ada, await add(ada, ALLERGY))
        await ada.do(DefineCategory(name="beekeeping", description="My bees and hives"))
        chat.script = lambda _: {"categories": ["BEEKEEPING"]}
        assert await answer(ada, await add(ada, FLIGHT)) == ("model", ("beekeeping",))
    assert ["beekeeping: My bees and hives" in asked.system for asked in chat.asked] == [False, True]
    assert all("- health: " in asked.system for asked in chat.asked)


async def test_a_change_of_state_asks_the_model_nothing_nor_does_a_choice_or_what_is_given(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object]
) -> None:
    async with categorizing(log, **llm):
        asked = [await add(ada, f"text {number}") for number in range(20)]
        ids = [*asked, *await asyncio.gather(*(add(ada, f"given {number}", ("mine",)) for number in range(80)))]
        await asyncio.gather(*(answer(ada, memory_id) for memory_id in asked))
        assert len(chat.asked) == 20
        for kind in (PauseMemories, ActivateMemories):
            await ada.do(kind(memory_ids=tuple(ids)))
        await ada.do(CategorizeMemory(memory_id=asked[0], categories=("chosen",), by="person"))
        await ada.do(ReviseMemory(memory_id=asked[0], text="another text"))
        await caught_up(log)
        assert len(chat.asked) == 20
        assert await answer(ada, await add(ada, ALLERGY)) == ("model", ("gossip",))


async def test_the_classifier_answers_for_a_model_that_does_not(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object], embedder: FaultyEmbedder
) -> None:
    faults: list[Fault] = [
        refusal,
        status(401),
        status(404),
        says("no JSON"),
        says('{"categories": []}'),
        says('{"categories": ["1", "2", "3", "4"]}'),
        says('{"categories": ["Sure! Here is what you asked for"]}'),
    ]
    async with embedding(log, embedder), categorizing(log, **llm):
        for number, chat.always in enumerate(faults):
            assert await answer(ada, await add(ada, f"{ALLERGY} {number}")) == ("classifier", ("health",)), number
        chat.always = None
        assert await answer(ada, await add(ada, FLIGHT)) == ("model", ("gossip",))


@pytest.mark.guarantee("G12", "G13")
async def test_a_model_that_is_away_is_waited_for_and_health_says_so(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object], embedder: FaultyEmbedder
) -> None:
    chat.always = status(503)
    async with embedding(log, embedder), categorizing(log, **llm):
        memory_ids = [await add(ada, text) for text in (ALLERGY, FLIGHT)]

        async def says_so() -> bool:
            health = await ask_health(log.client, "categorizer")
            return health.ok and "HTTP 503" in (health.detail or "") and bool(health.facts["llm_failure"])

        await eventually(says_so)
        assert [await categorized(ada, memory_id) for memory_id in memory_ids] == [[], []]
        chat.always = None
        assert [await answer(ada, memory_id) for memory_id in memory_ids] == [("model", ("gossip",))] * 2
        health = await ask_health(log.client, "categorizer")
        assert (health.detail, health.facts["llm_failure"]) == (None, None)


@pytest.mark.guarantee("G12")
async def test_a_model_that_stays_away_is_not_waited_for_longer_than_so_long(
    log: Log,
    ada: Sender,
    chat: ChatModel,
    llm: Mapping[str, object],
    embedder: FaultyEmbedder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handler, "_PATIENCE_S", 1.0)
    chat.always = status(503)
    async with embedding(log, embedder), categorizing(log, **llm):
        ids = [await add(ada, text) for text in (ALLERGY, FLIGHT)]
        assert [await answer(ada, each) for each in ids] == [("classifier", ("health",)), ("classifier", ("travel",))]
        await caught_up(log)


@pytest.mark.guarantee("G12")
async def test_a_text_that_the_model_takes_long_for_holds_up_no_other(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object]
) -> None:
    chat.script = lambda asked: hang if about(asked) == ALLERGY else {"categories": ["gossip"]}
    async with categorizing(log, **llm):
        slow = await add(ada, ALLERGY)
        await eventually(lambda: chat.asked)
        others = [await add(ada, f"text {number}") for number in range(200)]
        assert {await answer(ada, other) for other in others} == {("model", ("gossip",))}
        assert await categorized(ada, slow) == []


@pytest.mark.guarantee("G2", "G6", "G12")
async def test_a_categorizer_that_dies_while_the_model_thinks_asks_again_and_once_only(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "_HOLD_EVERY_S", 0.05)
    chat.script = lambda asked: hang if about(asked) == ALLERGY else {"categories": ["gossip"]}
    async with categorizing(log, **llm):
        slow = await add(ada, ALLERGY)
        quick = await add(ada, FLIGHT)
        assert await answer(ada, quick) == ("model", ("gossip",))
        await eventually(lambda: len(chat.asked) == 2)
    chat.script = lambda _: {"categories": ["gossip"]}
    async with categorizing(log, **llm):
        assert await answer(ada, slow) == ("model", ("gossip",))
        await caught_up(log)
        await log.js.delete_consumer(events(0).name, CATEGORIZER_CONSUMER)
    async with categorizing(log, **llm):  # all of the log comes again
        await caught_up(log)
    assert sorted(map(about, chat.asked)) == sorted([ALLERGY, ALLERGY, FLIGHT])
    assert [len(await categorized(ada, memory_id)) for memory_id in (slow, quick)] == [1, 1]


async def test_a_text_that_is_deleted_while_the_model_is_away_is_not_shown_to_it(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object]
) -> None:
    chat.always = status(503)
    async with categorizing(log, **llm):
        gone, stays = await add(ada, ALLERGY), await add(ada, FLIGHT)
        await eventually(lambda: {about(asked) for asked in chat.asked} == {ALLERGY, FLIGHT})
        await ada.do(DeleteMemories(memory_ids=(gone,)))

        async def one_waits() -> bool:
            return (await ask_health(log.client, "categorizer")).facts["asking.0"] == 1

        await eventually(one_waits)
        asked = len(chat.asked)
        chat.always = None
        assert await answer(ada, stays) == ("model", ("gossip",))
        await caught_up(log)
    assert {about(each) for each in chat.asked[asked:]} == {FLIGHT}
    assert await categorized(ada, gone) == []


@pytest.mark.guarantee("G12")
async def test_what_neither_can_categorize_is_buried(
    log: Log, ada: Sender, chat: ChatModel, llm: Mapping[str, object], embedder: FaultyEmbedder
) -> None:
    embedder.bad = {"penicillin"}
    chat.script = lambda asked: refusal if about(asked) == ALLERGY else {"categories": ["gossip"]}
    async with embedding(log, embedder), categorizing(log, **llm):
        poisoned = await add(ada, ALLERGY)
        assert await answer(ada, await add(ada, FLIGHT)) == ("model", ("gossip",))

        async def buried() -> bool:
            return (await log.js.stream_info(DEAD.name)).state.messages == 1

        await eventually(buried)
        await caught_up(log)
        assert await categorized(ada, poisoned) == []

"""A language model at an endpoint that speaks the OpenAI API, and what is made of all that such an endpoint does."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from email.utils import formatdate

import pytest
from contracts.errors import LanguageModelAway, LanguageModelFailed
from pydantic import BaseModel, Field, SecretStr
from runtime import language_model_breaker, openai_model
from runtime.language_model import LanguageModel, LanguageModelChoice
from runtime.language_model_endpoint import retry_after
from runtime.openai_model import OpenAIModel, language_model_choice, open_language_model
from runtime.settings import Settings
from support.chat_model import ChatModel
from support.faults import Fault, cut, cut_off, hang, refusal, says, status, text
from support.openai_server import OpenAIServer, openai_server
from support.servers import eventually


class Colour(BaseModel):
    """A colour."""

    name: str = Field(max_length=20)
    shade: int | None = None


BLUE = Colour(name="blue", shade=3)
PASSING = [status(429), status(500), status(503), status(408), cut]
WRONG = [says("no JSON at all"), says('{"shade": 3}'), says('{"name": 4'), says(""), text("{not json"), text("{}")]


@pytest.fixture(scope="module")
async def running() -> AsyncGenerator[OpenAIServer]:
    async with openai_server() as server:
        yield server


@pytest.fixture
def chat(running: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> ChatModel:
    monkeypatch.setattr(openai_model, "_PAUSE_FIRST_S", 0.01)
    monkeypatch.setattr(language_model_breaker, "_FIRST_S", 0.05)
    running.chat = ChatModel(script=lambda _: BLUE)
    return running.chat


def opened(server: OpenAIServer, timeout: float = 5.0, budget: float = 20.0, concurrency: int = 4) -> OpenAIModel:
    return OpenAIModel(LanguageModelChoice("talker", server.url), timeout, budget, concurrency)


@pytest.fixture
async def model(running: OpenAIServer, chat: ChatModel) -> AsyncGenerator[OpenAIModel]:
    model = opened(running)
    yield model
    await model.close()


async def test_an_answer_is_of_the_type_that_was_asked_for_and_says_what_it_took(
    model: LanguageModel, chat: ChatModel, running: OpenAIServer
) -> None:
    said = await model.ask("You know colours.", "What colour is the sky?", Colour)
    assert said.value == BLUE
    assert (said.model, said.input_tokens, said.output_tokens, said.attempts) == ("talker-2026-01-01", 7, 3, 1)
    assert model.name == f"openai:talker@{running.url.split('/')[2]}"
    assert model.failure is None
    [asked] = chat.asked
    assert (asked.system, asked.user) == ("You know colours.", "What colour is the sky?")
    assert (asked.body["temperature"], asked.body["max_tokens"]) == (0.0, 2000)


async def test_structured_outputs_are_asked_for_with_a_schema_that_strict_endpoints_take(
    model: LanguageModel, chat: ChatModel
) -> None:
    await model.ask("", "", Colour)
    wanted = chat.asked[0].body["response_format"]
    assert (wanted["type"], wanted["json_schema"]["name"], wanted["json_schema"]["strict"]) == (
        "json_schema", "Colour", True,
    )  # fmt: skip
    schema = wanted["json_schema"]["schema"]
    assert (schema["required"], schema["additionalProperties"]) == (["name", "shade"], False)
    assert "maxLength" not in json.dumps(schema)
    assert "default" not in json.dumps(schema)


@pytest.mark.parametrize("code", [400, 404, 422])
@pytest.mark.parametrize("form", ["json_object", "text"])
async def test_an_endpoint_without_structured_outputs_is_told_the_schema_in_words_and_remembered(
    model: LanguageModel, chat: ChatModel, form: str, code: int
) -> None:
    chat.forms, chat.refuses_with = {form}, code
    said = await model.ask("You know colours.", "The sky?", Colour)
    assert (said.value, said.attempts) == (BLUE, 2 if form == "json_object" else 3)
    assert "maxLength" in chat.asked[-1].system
    assert chat.asked[-1].system.startswith("You know colours.")
    chat.asked.clear()
    assert (await model.ask("", "", Colour)).attempts == 1
    assert chat.asked[0].form == form


async def test_parameters_that_newer_models_do_not_know_are_left_out(model: LanguageModel, chat: ChatModel) -> None:
    chat.unknown = {"max_tokens", "temperature"}
    assert (await model.ask("", "", Colour)).attempts == 3
    [*_, asked] = chat.asked
    assert (asked.form, asked.body["max_completion_tokens"]) == ("json_schema", 2000)
    assert (await model.ask("", "", Colour)).attempts == 1


async def test_a_request_that_is_refused_in_every_form_has_failed_and_nothing_is_remembered(
    model: LanguageModel, chat: ChatModel
) -> None:
    chat.always = status(400)
    with pytest.raises(LanguageModelFailed, match="HTTP 400"):
        await model.ask("", "", Colour)
    assert model.failure is None, "it may have been this text"
    chat.always = None
    await model.ask("", "", Colour)
    assert chat.asked[-1].form == "json_schema"


@pytest.mark.parametrize(
    "said",
    [
        '{"name": "blue", "shade": 3}',
        '```json\n{"name": "blue", "shade": 3}\n```',
        'The sky is {very} blue: {"name": "blue", "shade": 3}. I hope this helps {a lot}!',
        '<think>{"name": "red"}? No.</think>{"name": "blue", "shade": 3}',
        '{"thought": 1} {"name": "blue", "shade": 3}',
    ],
)
async def test_the_answer_is_found_in_what_surrounds_it(model: LanguageModel, chat: ChatModel, said: str) -> None:
    chat.script = lambda _: said
    assert (await model.ask("", "", Colour)).value == BLUE


@pytest.mark.parametrize("said", ["{" * 100_000, '{"name":' * 50_000, "[" * 100_000, '{"name": "' + "blue" * 99 + '"}'])
async def test_hostile_answers_are_wrong_and_no_more(model: LanguageModel, chat: ChatModel, said: str) -> None:
    chat.faults.append(says(said))
    assert (await model.ask("", "", Colour)).attempts == 2


@pytest.mark.parametrize("fault", PASSING)
async def test_what_passes_is_tried_again(model: LanguageModel, chat: ChatModel, fault: Fault) -> None:
    chat.faults.extend([fault] * 3)
    assert (await model.ask("", "", Colour)).attempts == 4
    assert model.failure is None


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize("fault", PASSING)
async def test_an_endpoint_that_stays_away_is_said_to_be(model: LanguageModel, chat: ChatModel, fault: Fault) -> None:
    chat.always = fault
    with pytest.raises(LanguageModelAway) as away:
        await model.ask("", "", Colour)
    assert len(chat.asked) == 4
    assert model.failure == away.value.message


async def test_an_endpoint_that_hangs_is_not_waited_for(running: OpenAIServer, chat: ChatModel) -> None:
    patient, model = opened(running, timeout=2), opened(running, timeout=0.1)
    chat.faults.append(hang)
    assert (await patient.ask("", "", Colour)).attempts == 2
    chat.always = hang
    with pytest.raises(LanguageModelAway, match="in time"):
        await model.ask("", "", Colour)
    await patient.close()
    await model.close()


async def test_a_question_ends_with_its_budget(running: OpenAIServer, chat: ChatModel) -> None:
    model = opened(running, timeout=5, budget=0.2)
    chat.always = hang
    with pytest.raises(LanguageModelAway, match=r"within 0.2 s"):
        await model.ask("", "", Colour)
    await model.close()


@pytest.mark.guarantee("G13")
async def test_an_endpoint_that_is_not_there_is_away(chat: ChatModel) -> None:
    model = OpenAIModel(LanguageModelChoice("talker", "http://127.0.0.1:9/v1"), 5, 20, 4)
    with pytest.raises(LanguageModelAway, match="cannot be reached"):
        await model.ask("", "", Colour)
    await model.close()


async def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(model: LanguageModel, chat: ChatModel) -> None:
    await model.ask("", "", Colour)  # the library is loaded
    chat.faults.append(status(429, retry_after="0.3"))
    started = time.monotonic()
    assert (await model.ask("", "", Colour)).attempts == 2
    assert time.monotonic() - started >= 0.3


async def test_a_question_is_not_held_for_long_because_an_endpoint_asks_for_it(
    model: LanguageModel, chat: ChatModel
) -> None:
    chat.always = status(429, retry_after="3600")
    with pytest.raises(LanguageModelAway) as away:
        await model.ask("", "", Colour)
    assert (len(chat.asked), away.value.retry_after) == (1, 3600)
    with pytest.raises(LanguageModelAway) as away:
        await model.ask("", "", Colour)
    assert 50 < (away.value.retry_after or 0) <= 60, "nor is it believed for that long"


def test_retry_after_is_seconds_milliseconds_or_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert 50 < (retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)}) or 0) <= 60
    assert [retry_after({"retry-after": bad}) for bad in ("soon", "-5", "inf", "nan", "")] == [None] * 5
    assert retry_after({}) is None


@pytest.mark.parametrize("fault", WRONG)
async def test_a_wrong_answer_is_corrected(model: LanguageModel, chat: ChatModel, fault: Fault) -> None:
    chat.faults.append(fault)
    said = await model.ask("", "The sky?", Colour)
    assert (said.value, said.attempts) == (BLUE, 2)


async def test_the_model_is_told_what_was_wrong_and_the_schema(model: LanguageModel, chat: ChatModel) -> None:
    chat.faults.extend([says('{"shade": "dark"}'), cut_off('{"name": "bl')])
    said = await model.ask("You know colours.", "The sky?", Colour)
    assert (said.value, said.attempts, said.input_tokens) == (BLUE, 3, 21)
    _, second, third = (asked.body["messages"] for asked in chat.asked)
    assert second[2] == {"role": "assistant", "content": '{"shade": "dark"}'}
    assert "name: Field required" in second[3]["content"]
    assert "maxLength" in second[0]["content"]
    assert (len(third), third[2]["content"]) == (4, '{"name": "bl')
    assert "cut off" in third[3]["content"]


@pytest.mark.parametrize("fault", WRONG)
async def test_a_model_that_stays_wrong_has_failed_and_its_words_are_not_repeated(
    model: LanguageModel, chat: ChatModel, fault: Fault
) -> None:
    chat.always = fault
    with pytest.raises(LanguageModelFailed, match="3 times") as failed:
        await model.ask("", "", Colour)
    assert "no JSON at all" not in failed.value.message
    assert len(chat.asked) == 3


async def test_a_refusal_is_final(model: LanguageModel, chat: ChatModel) -> None:
    chat.faults.append(refusal)
    with pytest.raises(LanguageModelFailed, match="refuses to answer"):
        await model.ask("", "", Colour)
    assert len(chat.asked) == 1
    assert model.failure is None


@pytest.mark.guarantee("G13")
@pytest.mark.parametrize(("fault", "why"), [(status(401), "key"), (status(403), "key"), (status(404), "HTTP 404")])
async def test_what_a_person_has_to_mend_fails_at_once_and_is_said_until_it_works(
    model: LanguageModel, chat: ChatModel, fault: Fault, why: str
) -> None:
    chat.always = fault
    with pytest.raises(LanguageModelFailed, match=why):
        await model.ask("", "", Colour)
    assert len(chat.asked) == (1 if why == "key" else 3)
    assert model.failure is not None
    chat.always = None
    await model.ask("", "", Colour)
    assert model.failure is None


@pytest.mark.guarantee("G12", "G13")
async def test_nobody_waits_for_what_is_away_and_one_question_at_a_time_finds_out_when_it_is_back(
    model: LanguageModel, chat: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model_breaker, "_FIRST_S", 1.0)
    chat.always = status(503)
    with pytest.raises(LanguageModelAway):
        await model.ask("", "", Colour)
    asked = len(chat.asked)
    for _ in range(20):
        with pytest.raises(LanguageModelAway):
            await model.ask("", "", Colour)
    assert len(chat.asked) == asked, "it is known"

    async def one() -> str:
        try:
            return (await model.ask("", "", Colour)).value.name
        except LanguageModelAway:
            return "away"

    async def until_asked() -> None:
        while len(chat.asked) == asked:
            assert await asyncio.gather(*(one() for _ in range(10))) == ["away"] * 10

    async with asyncio.timeout(60):
        await until_asked()
    assert len(chat.asked) == asked + 1, "one has tried, once"

    chat.always = None
    async with asyncio.timeout(60):
        while (answers := await asyncio.gather(*(one() for _ in range(10)))) == ["away"] * 10:
            pass
    assert answers.count("blue") >= 1
    assert model.failure is None
    assert await asyncio.gather(*(one() for _ in range(10))) == ["blue"] * 10


@pytest.mark.guarantee("G13")
async def test_that_it_is_back_is_found_out_although_nobody_asks(
    model: LanguageModel, chat: ChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_model, "_NOBODY_ASKS_S", 0.02)
    chat.always = status(503)
    with pytest.raises(LanguageModelAway):
        await model.ask("", "a secret", Colour)
    await eventually(lambda: len(chat.asked) >= 6)
    assert model.failure is not None
    chat.always = None
    await eventually(lambda: model.failure is None)
    assert {asked.user for asked in chat.asked[4:]} == {"Answer: yes"}
    assert {asked.form for asked in chat.asked[4:]} == {"text"}


async def test_no_more_than_so_many_are_under_way_at_once(
    running: OpenAIServer, chat: ChatModel, model: LanguageModel
) -> None:
    busy = opened(running, concurrency=3)
    chat.script = lambda asked: hang if asked.user == "slow" else BLUE
    waiting = [asyncio.create_task(busy.ask("", "slow", Colour)) for _ in range(10)]
    await eventually(lambda: len(chat.asked) >= 3)
    await model.ask("", "another", Colour)
    assert chat.users == ["slow"] * 3 + ["another"]
    await busy.close()
    assert all(isinstance(each, LanguageModelAway) for each in await asyncio.gather(*waiting, return_exceptions=True))


async def test_who_stops_waiting_leaves_nothing_behind(running: OpenAIServer, chat: ChatModel) -> None:
    model = opened(running, concurrency=1)
    chat.always = hang
    waiting = asyncio.create_task(model.ask("", "", Colour))
    await eventually(lambda: chat.asked)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    chat.always = None
    assert (await model.ask("", "", Colour)).value == BLUE, "its place is free"
    await model.close()


async def test_closing_cuts_off_what_is_under_way(model: LanguageModel, chat: ChatModel) -> None:
    chat.always = hang
    waiting = asyncio.create_task(model.ask("", "", Colour))
    await eventually(lambda: chat.asked)
    await model.close()
    with pytest.raises(LanguageModelAway, match="not asked any more"):
        await waiting
    with pytest.raises(LanguageModelAway, match="not asked any more"):
        await model.ask("", "", Colour)


async def test_the_key_is_shown_to_the_endpoint(running: OpenAIServer, chat: ChatModel) -> None:
    chat.key = "sk-1"
    settings = Settings(llm="talker", llm_base_url=running.url, llm_api_key=SecretStr("sk-1"))
    choice = language_model_choice(settings)
    assert choice is not None
    model = open_language_model(choice, settings)
    assert (await model.ask("", "", Colour)).value == BLUE
    await model.close()

"""Settings as a client of OpenMemory changes them: events of their user, no secret among them, in force at once."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from contracts.errors import MemlogError
from gateway.connections import Connections
from gateway.container import memlog as gateway
from gateway.service import OWNER_APP, Caller
from gateway.use_cases import Memlog
from runtime.service import open_context
from runtime.stored_settings import ChosenLanguageModel, StoredSettings
from support.inside import Inside
from support.openai_server import openai_server
from support.stack import eventually

CONFIG = "/api/v1/config"
LLM: dict[str, Any] = {"provider": "ollama", "config": {"model": "llama3.1", "temperature": 0.1, "max_tokens": 500}}
NOTHING = {"custom_instructions": None}
KEY = "sk-proj-abcdefghijklmnop0123456789"


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def http(memlog: Inside) -> AsyncGenerator[httpx.AsyncClient]:
    """With nothing set, before and after."""
    yield memlog.http
    answer = await memlog.http.post(f"{CONFIG}/reset", params={"confirm": "rebuild"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["mem0"]["llm"] is None


async def get(http: httpx.AsyncClient, path: str = "/", **params: str) -> Any:
    return (await http.get(f"{CONFIG}{path}", params=params)).raise_for_status().json()


async def settings_events(http: httpx.AsyncClient, who: str) -> list[Any]:
    answer = await http.get("/api/v1/events", params={"user_id": who, "type": "SettingsChanged"})
    return answer.raise_for_status().json()["events"]


def refused(answer: httpx.Response, status: int, code: str, *words: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    for word in words:
        assert word in answer.json()["detail"], answer.text


async def test_without_any_setting_no_model_is_asked_and_the_shape_is_whole(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{CONFIG}/")
    assert answer.json()["openmemory"] == NOTHING
    mem0 = answer.json()["mem0"]
    assert (mem0["llm"], mem0["embedder"]["provider"], mem0["vector_store"]["provider"]) == (
        None,
        "minilm",
        "qdrant-edge",
    )
    assert answer.headers["Memlog-From-Environment"] == "mem0.vector_store"
    assert (await http.get(CONFIG)).json() == answer.json()
    for path in ("llm", "embedder", "vector_store"):
        assert await get(http, f"/mem0/{path}") == mem0[path]
        assert await get(http, f"/mem0/{path}/") == mem0[path]
    assert await get(http, "/openmemory") == NOTHING


async def test_what_is_set_is_shown_at_once_and_stands_in_the_log(http: httpx.AsyncClient) -> None:
    before = len(await settings_events(http, "default"))
    body = {"openmemory": {"custom_instructions": "Only what is about food"}, "mem0": {"llm": LLM}}
    answer = await http.put(f"{CONFIG}/", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == await get(http)
    shown = await get(http, "/mem0/llm")
    assert (shown["provider"], {**shown["config"], **LLM["config"]}) == ("ollama", shown["config"])
    assert await get(http, "/openmemory") == body["openmemory"]
    await http.put(f"{CONFIG}/", json=answer.json())
    events = await settings_events(http, "default")
    assert len(events) == before + 1, "what GET shows, sent back, changes nothing"
    assert events[-1]["data"]["settings"] == body, "defaults stand nowhere in the log"

    part = {"mem0": {"llm": {"config": {"temperature": 0.5}}}}
    answer = await http.patch(CONFIG, json=part)
    llm = answer.json()["mem0"]["llm"]
    assert (llm["config"]["temperature"], llm["config"]["model"]) == (0.5, "llama3.1")
    assert answer.json()["openmemory"] == body["openmemory"]
    answer = await http.put(f"{CONFIG}/mem0/llm", json={"provider": "openai", "config": {"model": "gpt-4o-mini"}})
    assert answer.json()["config"]["temperature"] == 0.0, "a section is replaced as a whole"
    assert (await http.put(f"{CONFIG}/openmemory", json={"custom_instructions": ""})).json() == NOTHING
    assert (await http.patch(CONFIG, json={"mem0": {"llm": None}})).json()["mem0"]["llm"] is None


async def test_a_key_is_referred_to_shown_hidden_and_kept_when_it_comes_back_hidden(http: httpx.AsyncClient) -> None:
    llm = {"provider": "openai", "config": {"model": "gpt-4o-mini", "api_key": "env:OPENAI_API_KEY"}}
    shown = (await http.put(f"{CONFIG}/mem0/llm", json=llm)).json()
    assert shown["config"]["api_key"] == "env:***"
    shown["config"]["model"] = "gpt-4o"
    assert (await http.put(f"{CONFIG}/mem0/llm", json=shown)).status_code == 200
    stored = (await settings_events(http, "default"))[-1]["data"]["settings"]["mem0"]["llm"]["config"]
    assert (stored["api_key"], stored["model"]) == ("env:OPENAI_API_KEY", "gpt-4o")
    shown["config"]["api_key"] = "file:***"
    refused(await http.put(f"{CONFIG}/mem0/llm", json=shown), 422, "invalid_input", "mem0.llm.config.api_key")


async def test_hostile_settings_are_refused_with_their_path_and_leave_no_trace(
    memlog: Inside, http: httpx.AsyncClient
) -> None:
    who = user("eve")
    await get(http, user_id=who)
    end = await memlog.log.events.last_sequence("MEMLOG_EVENTS_0")
    deep: Any = "x"
    for _ in range(400):
        deep = {"config": deep}
    cases: list[tuple[Any, int, str]] = [
        ({"mem0": {"llm": {**LLM, "config": {**LLM["config"], "api_key": KEY}}}}, 422, "mem0.llm.config.api_key"),
        ({"mem0": {"llm": {**LLM, "config": {**LLM["config"], "top_p": 1}}}}, 422, "mem0.llm.config.top_p"),
        ({"mem0": {"reranker": {}}}, 422, "mem0.reranker"),
        ({"mem0": {"llm": {"provider": "aws bedrock", "config": {"model": "m"}}}}, 422, "not supported"),
        ({"mem0": {"llm": {"provider": "ollama"}}}, 422, "mem0.llm.config.model: is missing"),
        ({"mem0": {"llm": {"provider": "ollama", "config": {"model": "m", "max_tokens": "many"}}}}, 422, "max_tokens"),
        ({"mem0": {"vector_store": {"provider": "x", "config": deep}}}, 422, "nested"),
        ({"openmemory": {"custom_instructions": "x" * 20_000}}, 422, "custom_instructions"),
        ({"openmemory": {"custom_instructions": "a\x00b"}}, 422, "NUL"),
        ({"openmemory": {"custom_instructions": "x" * 2_000_000}}, 413, ""),
        ({"app": {}}, 422, "app"),
        ([], 422, ""),
    ]
    for method in ("PUT", "PATCH"):
        for body, status, words in cases:
            answer = await http.request(method, f"{CONFIG}/", json=body)
            assert answer.status_code == status, (body, answer.text)
            assert words in answer.json()["detail"] and KEY not in answer.text
    answer = await http.put(CONFIG, json={}, params={"user": who})
    refused(answer, 422, "invalid_input", "user")
    answer = await http.put(CONFIG, json={}, params={"confirm": "yes"})
    refused(answer, 422, "invalid_input", "confirm")
    assert await memlog.log.events.last_sequence("MEMLOG_EVENTS_0") == end


async def test_instructions_are_each_users_own_and_the_servers_settings_only_the_default_users(
    http: httpx.AsyncClient,
) -> None:
    ann = user("ann")
    await http.put(f"{CONFIG}/mem0/llm", json=LLM)
    mine = {"custom_instructions": "In rhymes"}
    assert (await http.put(f"{CONFIG}/openmemory", params={"user_id": ann}, json=mine)).json() == mine
    assert (await get(http))["openmemory"] == NOTHING
    hers = await get(http, user_id=ann)
    assert (hers["openmemory"], hers["mem0"]["llm"]["provider"]) == (mine, "ollama")
    hers["openmemory"] = {"custom_instructions": "In prose"}
    answer = await http.put(CONFIG, params={"user_id": ann}, json=hers)
    assert answer.status_code == 200, "what is the server's and stays as it is may come along"
    other = {"provider": "openai", "config": {"model": "gpt-4o"}}
    for change in ({"llm": other}, {"llm": None}, {"embedder": other}):
        answer = await http.patch(CONFIG, params={"user_id": ann}, json={"mem0": change})
        refused(answer, 403, "settings_of_server", "only the default user")
    assert (await http.post(f"{CONFIG}/reset", params={"user_id": ann})).json()["openmemory"] == NOTHING
    assert (await get(http, "/mem0/llm"))["provider"] == "ollama"


async def test_the_vector_store_is_not_changed_here_and_the_answer_says_where(http: httpx.AsyncClient) -> None:
    shown = await get(http, "/mem0/vector_store")
    assert (await http.put(f"{CONFIG}/mem0/vector_store", json=shown)).json() == shown
    other = {"provider": "qdrant", "config": {"host": "elsewhere"}}
    answer = await http.put(f"{CONFIG}/mem0/vector_store", json=other)
    refused(answer, 409, "set_by_environment", "MEMLOG_QDRANT_URL")
    assert (await http.put(CONFIG, json={"mem0": {"vector_store": None}})).status_code == 200


async def test_another_embedder_changes_nothing_until_it_is_confirmed_and_works(http: httpx.AsyncClient) -> None:
    before = (await http.get("/api/v1/projections/index")).json()["generations"]
    nowhere = {"provider": "ollama", "config": {"model": "nomic", "base_url": "http://127.0.0.1:9"}}
    answer = await http.put(f"{CONFIG}/mem0/embedder", json=nowhere)
    refused(answer, 409, "rebuild_not_confirmed", "confirm=rebuild", "http://127.0.0.1:9/v1")
    answer = await http.put(f"{CONFIG}/mem0/embedder", json=nowhere, params={"confirm": "rebuild"})
    assert answer.status_code == 503, answer.text
    assert (await get(http, "/mem0/embedder"))["provider"] == "minilm"
    with_key = {"provider": "openai", "config": {"model": "m", "api_key": "env:GROQ_API_KEY"}}
    answer = await http.put(f"{CONFIG}/mem0/embedder", json=with_key, params={"confirm": "rebuild"})
    refused(answer, 422, "invalid_input", "mem0.embedder.config.api_key")
    assert (await http.get("/api/v1/projections/index")).json()["generations"] == before


async def test_changes_of_several_at_once_are_all_made(http: httpx.AsyncClient) -> None:
    await http.put(f"{CONFIG}/mem0/llm", json=LLM)
    changes: list[Any] = [
        {"openmemory": {"custom_instructions": "All of it"}},
        {"mem0": {"llm": {"config": {"temperature": 0.9}}}},
        {"mem0": {"llm": {"config": {"max_tokens": 77}}}},
    ]
    answers = await asyncio.gather(*(http.patch(CONFIG, json=change) for change in changes))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    now = await get(http)
    assert now["openmemory"] == {"custom_instructions": "All of it"}
    assert (now["mem0"]["llm"]["config"]["temperature"], now["mem0"]["llm"]["config"]["max_tokens"]) == (0.9, 77)


async def test_a_running_service_asks_the_model_that_was_set_last(memlog: Inside, http: httpx.AsyncClient) -> None:
    log = memlog.log
    stored = StoredSettings(log.js, log.keys, log.shards, "default")
    chosen = ChosenLanguageModel(stored, memlog.settings)
    following = asyncio.create_task(chosen.follow())

    async def named(words: str) -> bool:
        model = chosen.model
        return words in (chosen.failure or ("none" if model is None else model.name))

    try:
        await eventually(lambda: named("none"))
        await http.put(f"{CONFIG}/mem0/llm", json=LLM)
        await eventually(lambda: named("llama3.1"))
        part = {"mem0": {"llm": {"config": {"model": "mistral", "api_key": "env:NOT_SET_ANYWHERE"}}}}
        await http.patch(CONFIG, json=part)
        await eventually(lambda: named("env:NOT_SET_ANYWHERE"))
        assert chosen.model is None, "a model without its key is not asked"
        await http.post(f"{CONFIG}/reset")
        await eventually(lambda: named("none"))
    finally:
        following.cancel()
        await asyncio.wait((following,))


async def test_texts_are_read_by_the_model_that_was_set_and_by_none_after_the_reset(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = user("live")
    monkeypatch.setenv("TALKER_API_KEY", "the-key-of-talker")

    async def by(text: str) -> Any:
        body = {"user_id": who, "text": text, "app": "notes", "infer": False}
        added = (await http.post("/api/v1/memories", json=body)).raise_for_status().json()
        path = f"/api/v1/memories/{added['id']}"

        async def found() -> list[str] | None:
            return (await http.get(path, params={"user_id": who})).json()["categories"]

        return await eventually(found)

    async def llm() -> str:
        services = (await http.get("/api/v1/health")).json()["services"]
        # Each service looks for itself, and this is the one that asks.
        return next(each for each in services if each["service"] == "categorizer")["facts"].get("llm") or "none"

    async with openai_server() as endpoint:
        endpoint.chat.script = lambda _: {"categories": ["gossip"]}
        endpoint.chat.key = "the-key-of-talker"
        config = {"model": "talker", "base_url": endpoint.url, "api_key": "env:TALKER_API_KEY"}
        answer = await http.put(f"{CONFIG}/mem0/llm", json={"provider": "lm studio", "config": config})
        assert answer.status_code == 200, answer.text
        await eventually(lambda: _says(llm, "talker"))
        assert await by("Mrs Miller has a new car") == ["gossip"]
        await http.patch(CONFIG, json={"mem0": {"llm": None}})
        await eventually(lambda: _says(llm, "none"))
        asked = len(endpoint.chat.asked)
        assert "gossip" not in await by("I am allergic to penicillin and to nuts")
        assert len(endpoint.chat.asked) == asked
    log = json.dumps(await settings_events(http, "default"))
    assert "env:TALKER_API_KEY" in log and "the-key-of-talker" not in log


async def _says(probe: Callable[[], Awaitable[str]], word: str) -> bool:
    return word in await probe()


async def test_a_confirmed_embedder_gets_an_index_of_its_own_and_a_reset_brings_the_first_back(
    http: httpx.AsyncClient,
) -> None:
    who = user("embedder")
    body = {"user_id": who, "text": "The ferry to Naxos is at noon", "app": "notes", "infer": False}
    (await http.post("/api/v1/memories", json=body)).raise_for_status()

    async def serving() -> str:
        found = (await http.get("/api/v1/projections/index")).json()["generations"]
        return next(each["embedder"] for each in found if each["state"] == "serving")

    async def finds() -> bool:
        answer = await http.get("/api/v1/search", params={"user_id": who, "query": "The ferry to Naxos is at noon"})
        return [item["memory"] for item in answer.raise_for_status().json()["results"]] == [body["text"]]

    async with openai_server() as endpoint:
        remote = {"provider": "vllm", "config": {"model": "small", "base_url": endpoint.url}}
        answer = await http.put(f"{CONFIG}/mem0/embedder", json=remote, params={"confirm": "rebuild"})
        assert (answer.status_code, answer.json()["config"]["base_url"]) == (200, endpoint.url), answer.text
        await eventually(lambda: _says(serving, "small"), 90)
        assert await finds()
        refused(await http.post(f"{CONFIG}/reset"), 409, "rebuild_not_confirmed", "to minilm")
        assert await get(http, "/mem0/embedder") == answer.json()
        back = await http.post(f"{CONFIG}/reset", params={"confirm": "rebuild"})
        assert back.json()["mem0"]["embedder"]["provider"] == "minilm"
        await eventually(lambda: _says(serving, "minilm"), 90)
        assert await finds()


@asynccontextmanager
async def another_gateway(memlog: Inside, **environment: Any) -> AsyncGenerator[Memlog]:
    settings = memlog.settings.model_copy(update=environment)
    async with open_context("test", settings, asyncio.Event()) as context, gateway(context, Connections()) as service:
        yield service


async def test_the_environment_wins_and_says_so(memlog: Inside, http: httpx.AsyncClient) -> None:
    await http.put(f"{CONFIG}/mem0/llm", json=LLM)
    owner = Caller("default", OWNER_APP, "rest")
    async with another_gateway(memlog, llm="gpt-4.1", embedder="minilm") as service:
        configured = await service.configuration(owner)
        assert configured.from_environment == ("mem0.llm", "mem0.embedder", "mem0.vector_store")
        llm = configured.configuration.mem0.llm
        assert llm is not None
        assert (llm.provider, llm.config.model) == ("openai", "gpt-4.1")
        shown = json.loads(configured.configuration.model_dump_json())
        await service.change_configuration(owner, shown, merge=False, confirmed=False)
        for change in ({"llm": LLM}, {"embedder": LLM | {"config": {"model": "m"}}}):
            with pytest.raises(MemlogError, match="MEMLOG_") as wrong:
                await service.change_configuration(owner, {"mem0": change}, merge=False, confirmed=True)
            assert (wrong.value.code, wrong.value.status) == ("set_by_environment", 409)
    assert (await get(http, "/mem0/llm"))["provider"] == "ollama", "what is stored was not touched"

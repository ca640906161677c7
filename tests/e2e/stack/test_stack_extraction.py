"""Facts from texts as a client meets them: what is found is stored, changed or forgotten, and whatever the model does,
what was acknowledged is kept."""

import asyncio
import json
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from support.chat_model import Asked
from support.command_line import memlog
from support.faults import cut, hang, refusal, says, status
from support.openai_server import OpenAIServer, openai_server
from support.stack import Stack, call, eventually, running_stack
from support.talker import finds_facts, talker

MEMORIES = "/api/v1/memories"
ADDS = int(os.environ.get("MEMLOG_TEST_FAILING_ADDS", "40"))
BUDGET_S = 12
_ROUTINE = {"Facts", "Decisions"}


@pytest.fixture(scope="module")
async def model() -> AsyncGenerator[OpenAIServer]:
    async with openai_server() as server:
        server.chat = talker()
        yield server


@pytest.fixture(scope="module")
async def stack(model: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    async with running_stack(
        tmp_path_factory.mktemp("memlog"),
        MEMLOG_LLM="talker",
        MEMLOG_LLM_BASE_URL=model.url,
        MEMLOG_LLM_TIMEOUT="2",
        MEMLOG_LLM_BUDGET=str(BUDGET_S),
        MEMLOG_LLM_CONCURRENCY="8",
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def sound(model: OpenAIServer) -> None:
    """Each test begins with a model that works."""
    model.chat.always = None
    model.chat.script = finds_facts


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def asked(model: OpenAIServer, holds: str = "") -> list[Asked]:
    """The questions about texts, not those of the categorizer."""
    return [each for each in model.chat.asked if each.schema in _ROUTINE and holds in each.user]


async def add(http: httpx.AsyncClient, who: str, text: str, **more: Any) -> httpx.Response:
    # With categories of its own, the categorizer asks nothing.
    body = {"user_id": who, "text": text, "app": "notes", "categories": ["mine"], **more}
    return await http.post(MEMORIES, json=body)


async def texts(http: httpx.AsyncClient, who: str) -> list[str]:
    page = (await http.get(MEMORIES, params={"user_id": who, "size": 100})).raise_for_status().json()
    assert page["pages"] <= 1
    return [item["content"] for item in page["items"]]


async def operation(http: httpx.AsyncClient, who: str, operation_id: str) -> dict[str, Any]:
    return (await http.get(f"/api/v1/operations/{operation_id}", params={"user_id": who})).raise_for_status().json()


async def ended(http: httpx.AsyncClient, who: str, operation_id: str, seconds: float = 30.0) -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        found = await operation(http, who, operation_id)
        return None if found["status"] == "accepted" else found

    return await eventually(over, seconds)


async def processed(http: httpx.AsyncClient, who: str) -> list[dict[str, Any]]:
    """What became of each text of the user."""
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        params = {"user_id": who, "type": "TextProcessed", "limit": 100, **({} if after is None else {"after": after})}
        page = (await http.get("/api/v1/events", params=params)).raise_for_status().json()
        found += [event["data"] for event in page["events"]]
        after = page.get("next")
        if after is None:
            return found


async def reprocess(stack: Stack, *options: str) -> dict[str, Any]:
    status, out, said = await memlog(stack.home, "reprocess", *options, "--json")
    assert status == 0, said
    return json.loads(out)


async def test_facts_of_a_text_are_added_changed_and_forgotten_and_the_answer_says_what_was_before(
    stack: Stack, model: OpenAIServer
) -> None:
    who = user("facts")
    async with stack.mcp(path=f"/mcp/claude/http/{who}") as client:

        async def tell(text: str, **more: Any) -> list[tuple[str, str | None, str | None]]:
            answer = await call(client, "add_memories", text=text, categories=["mine"], **more)
            assert answer["state"] == "searchable", answer
            return [(item["event"], item.get("memory"), item.get("previous_memory")) for item in answer["results"]]

        assert await tell("Hello!\nremember: Home: Zürich\nremember: Pet: a cat") == [
            ("ADD", "Home: Zürich", None),
            ("ADD", "Pet: a cat", None),
        ]
        assert await tell("remember: Home: Bern\nremember: Pet: a cat\nremember: Job: nurse") == [
            ("UPDATE", "Home: Bern", "Home: Zürich"),
            ("NONE", "Pet: a cat", None),
            ("ADD", "Job: nurse", None),
        ]
        assert await tell("remember: Pet: none") == [("DELETE", None, "Pet: a cat")]
        assert await tell("How are you today?") == []
        assert await tell("remember: Home: Basel", infer=False) == [("ADD", "remember: Home: Basel", None)]
        found = await call(client, "search_memory", query="Home")
    async with stack.http() as http:
        assert sorted(await texts(http, who)) == ["Home: Bern", "Job: nurse", "remember: Home: Basel"]
        log = (await http.get(f"{MEMORIES}/{found['results'][0]['id']}/history", params={"user_id": who})).json()
        assert log["entries"][0]["app_name"] == "claude"
        assert [each["outcome"] for each in await processed(http, who)] == ["extracted"] * 4
        day = f"Today is {time.strftime('%A')}, {time.strftime('%Y-%m-%d')}."
    assert day in asked(model, "Pet: a cat")[0].system


async def test_rest_answers_with_the_memory_or_with_what_the_operation_did(stack: Stack) -> None:
    who = user("rest")
    async with stack.http() as http:
        one = await add(http, who, "remember: Home: Zürich", metadata={"chat": 7})
        assert (one.status_code, one.json()["content"], one.json()["event"]) == (200, "Home: Zürich", "ADD")
        assert (one.json()["metadata_"], one.json()["categories"]) == ({"chat": 7}, ["mine"])
        two = await add(http, who, "remember: Home: Zürich\nremember: Pet: a cat")
        assert [item["event"] for item in two.json()["results"]] == ["NONE", "ADD"]
        changed = await add(http, who, "remember: Home: Bern")
        assert (changed.json()["id"], changed.json()["content"]) == (one.json()["id"], "Home: Bern")
        none = await add(http, who, "Good morning")
        assert (none.status_code, none.json()["results"]) == (200, [])
        known = await ended(http, who, none.json()["operation_id"])
        assert (known["status"], known["type"], known["results"]) == ("done", "AddMemory", [])


@pytest.mark.guarantee("G2")
async def test_a_retried_add_asks_the_model_once_and_has_one_effect(stack: Stack, model: OpenAIServer) -> None:
    who = user("retry")
    text = f"remember: Home: Chur\nremember: Code: {who}"
    async with stack.http() as http:
        answers = await asyncio.gather(*(add(http, who, text, idempotency_key="k") for _ in range(10)))
        answers.append(await add(http, who, text, idempotency_key="k"))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["operation_id"] for answer in answers}) == 1
        assert [item["event"] for item in answers[-1].json()["results"]] == ["ADD", "ADD"]
        assert sorted(await texts(http, who)) == sorted(["Home: Chur", f"Code: {who}"])
        assert (await add(http, who, "remember: Home: Genf", idempotency_key="k")).status_code == 409
    assert len(asked(model, who)) == 1


async def test_custom_instructions_are_added_to_what_the_model_is_told(stack: Stack, model: OpenAIServer) -> None:
    who = user("custom")
    async with stack.http() as http:
        body = {"openmemory": {"custom_instructions": "Never store the names of pets."}}
        answer = await http.patch("/api/v1/config", params={"user_id": who}, json=body)
        assert answer.status_code == 200, answer.text
        await add(http, who, f"remember: Code: {who}")
        await add(http, user("other"), "remember: Code: somebody else")
    [mine, theirs] = [asked(model, who)[0], asked(model, "somebody else")[0]]
    assert "Never store the names of pets." in mine.system
    assert "worth remembering" in mine.system
    assert "Never store" not in theirs.system


async def test_the_texts_of_a_user_are_read_one_after_the_other_and_each_sees_what_those_before_came_to(
    stack: Stack,
) -> None:
    who = user("order")
    towns = [f"Home: town {number}" for number in range(12)]
    async with stack.http() as http:
        sent = [await add(http, who, f"remember: {town}", wait="accepted") for town in towns]
        ends = [await ended(http, who, answer.json()["operation_id"]) for answer in sent]
        assert [end["results"][0]["event"] for end in ends] == ["ADD", *["UPDATE"] * 11]
        assert await texts(http, who) == [towns[-1]]
        previous = [each["items"][0]["previous_text"] for each in await processed(http, who)]
        assert previous == [None, *towns[:-1]]


async def test_only_what_the_app_may_see_is_shown_to_the_model(stack: Stack, model: OpenAIServer) -> None:
    who = user("access")
    async with stack.http() as http:
        secret = (await add(http, who, "remember: Home: Zürich", app="diary")).json()["id"]
        await add(http, who, "remember: Pet: a cat", app="diary")
        await add(http, who, "remember: Job: nurse", app="notes")
        apps = (await http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
        notes = next(app["id"] for app in apps if app["name"] == "notes")
        rule = {"user_id": who, "app_id": notes, "effect": "deny", "memory_id": secret}
        assert (await http.put("/api/v1/access-rules", json=rule)).status_code == 200
        added = await add(http, who, "remember: Home: Bern\nremember: Pet: a dog")
        assert [item["event"] for item in added.json()["results"]] == ["ADD", "UPDATE"]
        assert sorted(await texts(http, who)) == ["Home: Bern", "Home: Zürich", "Job: nurse", "Pet: a dog"]
    shown = [each.user for each in asked(model) if each.schema == "Decisions"][-1]
    assert "Pet: a cat" in shown
    assert "Zürich" not in shown


async def test_a_text_that_the_model_refuses_is_stored_as_it_is_and_the_operation_says_why(
    stack: Stack, model: OpenAIServer
) -> None:
    who = user("refused")
    model.chat.script = lambda asked: refusal if asked.schema in _ROUTINE else {"categories": ["personal"]}
    async with stack.http() as http:
        answer = await add(http, who, "remember: Home: Zürich")
        assert (answer.status_code, answer.json()["content"]) == (200, "remember: Home: Zürich")
        [source] = await processed(http, who)
        assert source["outcome"] == "verbatim"
        known = await ended(http, who, source["source_id"])
        assert (known["status"], known["counts"]) == ("done", {"ADD": 1})
        assert "the text is stored as it is" in known["reason"]

        # Read once more, by a model that will, it gives way to its facts.
        model.chat.script = finds_facts
        done = await reprocess(stack, "--user", who)
        assert done["done"] == done["total"] == 1
        assert await texts(http, who) == ["Home: Zürich"]
        again = await reprocess(stack, "--user", who, "--source", source["source_id"])
        assert (again["total"], again["failed"]) == (1, 0)
        assert await reprocess(stack, "--user", who, "--run", again["run"]) == again
        assert await texts(http, who) == ["Home: Zürich"]
        assert [each["outcome"] for each in await processed(http, who)] == ["verbatim", "extracted", "extracted"]
        missing = await http.post("/api/v1/sources/reprocess", json={"user_id": who, "source_id": str(uuid.uuid4())})
        assert missing.status_code == 404


@pytest.mark.guarantee("G12")
@pytest.mark.timeout(600 + 2 * ADDS)
async def test_each_text_ends_extracted_or_verbatim_and_once_with_a_model_that_fails_half_of_the_time(
    stack: Stack, model: OpenAIServer
) -> None:
    chance = random.Random(20261123)
    faults = [status(429), status(500), hang, cut, says("{not json"), says('{"fact": "wrong"}'), refusal]
    met: Counter[str] = Counter()

    def half(asked: Asked) -> object:
        if asked.schema not in _ROUTINE and "facts" not in asked.system:
            return {"categories": ["personal"]}
        if chance.random() < 0.5:
            fault = faults[chance.randrange(len(faults))]
            met[getattr(fault, "__name__", str(fault))] += 1
            return fault
        return finds_facts(asked)

    model.chat.script = half
    prefix = user("half")
    sent: list[tuple[str, str, str]] = []
    async with stack.http() as http:
        for start in range(0, ADDS, 20):

            async def one(number: int) -> None:
                who, fact = f"{prefix}-{number % 10}", f"Code{number}: {uuid.uuid4()}"
                answer = await add(http, who, f"Well.\nremember: {fact}", wait="accepted")
                assert answer.status_code == 202, answer.text
                sent.append((who, fact, answer.json()["operation_id"]))

            await asyncio.gather(*(one(number) for number in range(start, min(start + 20, ADDS))))
        ends = {id_: await ended(http, who, id_, 60.0 + ADDS) for who, _, id_ in sent}
        kept = {who: Counter(await texts(http, who)) for who in {who for who, _, _ in sent}}
        outcomes = {each["source_id"]: each for who in kept for each in await processed(http, who)}
        count = sum([len(await processed(http, who)) for who in kept])
    assert len(outcomes) == count == ADDS, "each is processed, and once"
    for who, fact, id_ in sent:
        verbatim = outcomes[id_]["outcome"] == "verbatim"
        assert ends[id_]["status"] == "done"
        assert (ends[id_]["reason"] is not None) == verbatim
        assert kept[who][f"Well.\nremember: {fact}"] == verbatim
        assert kept[who][fact] == (not verbatim), "stored once, in one of the two forms"
    assert sum(sum(found.values()) for found in kept.values()) == ADDS
    seen = Counter(each["outcome"] for each in outcomes.values())
    assert seen["extracted"] > 0
    assert seen["verbatim"] > 0
    assert sum(met.values()) > ADDS / 2
    print(f"{ADDS} adds: {dict(seen)}; faults met: {dict(met)}")


@pytest.mark.guarantee("G12")
async def test_while_the_model_is_away_adds_return_at_once_and_others_notice_nothing(
    stack: Stack, model: OpenAIServer
) -> None:
    who, other = user("away"), user("other")
    async with stack.http() as http:
        await add(http, other, "Tea is in the blue tin", infer=False)
        model.chat.always = status(503)
        first = await add(http, who, "remember: Home: Zürich")
        assert first.status_code == 202
        sent = [first]
        began = time.monotonic()
        for number in range(20):
            answer = await add(http, who, f"remember: Home: town {number}")
            assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
            assert "503" in answer.json()["reason"] or "does not" in answer.json()["reason"], answer.json()
            sent.append(answer)
        assert time.monotonic() - began < 20 * BUDGET_S / 2, "nobody waits for what is known to be away"
        assert (await add(http, other, "Coffee is in the red tin", infer=False)).status_code == 200
        params = {"user_id": other, "query": "where is the tea"}
        assert (await http.get("/api/v1/search", params=params)).json()["results"]
        assert (await add(http, who, "Milk is in the fridge", infer=False)).status_code == 200
        health = (await http.get("/api/v1/health")).json()
        [part] = [each for each in health["services"] if each["service"] == "memory-writer"]
        assert part["facts"]["texts.0"]["waiting"] == 21
        assert part["ok"], "the writer itself is well"
        assert (await operation(http, who, first.json()["operation_id"]))["status"] == "accepted"
        model.chat.always = None
        ends = [await ended(http, who, answer.json()["operation_id"], 90) for answer in sent]
        assert [end["results"][0]["event"] for end in ends] == ["ADD", *["UPDATE"] * 20]
        assert sorted(await texts(http, who)) == ["Home: town 19", "Milk is in the fridge"]


@pytest.mark.guarantee("G1", "G6")
async def test_kill_9_in_the_middle_loses_no_text_and_a_rebuild_asks_the_model_nothing(
    stack: Stack, model: OpenAIServer
) -> None:
    users = [user("killed") for _ in range(4)]
    sent: list[tuple[str, str, str]] = []
    async with stack.http() as http:
        for number in range(24):
            who, fact = users[number % 4], f"Code{number}: {uuid.uuid4()}"
            answer = await add(http, who, f"remember: {fact}", wait="accepted")
            sent.append((who, fact, answer.json()["operation_id"]))
        await ended(http, sent[5][0], sent[5][2])
    await stack.kill()
    await stack.start()
    async with stack.http() as http:
        for who, _, id_ in sent:
            assert (await ended(http, who, id_, 60))["status"] == "done"
        for who in users:
            assert Counter(await texts(http, who)) == Counter(fact for whose, fact, _ in sent if whose == who)
            assert len(await processed(http, who)) == 6
        before = len(asked(model))
        for name in ("read-models", "index"):
            assert (await http.post(f"/api/v1/projections/{name}/rebuild", json={})).status_code == 202

            async def rebuilt(name: str = name) -> bool:
                generations = (await http.get(f"/api/v1/projections/{name}")).json()["generations"]
                return [g["number"] for g in generations if g["state"] == "serving"] == [2]

            await eventually(rebuilt, 60)
        for who in users:
            assert len(await texts(http, who)) == 6
        await add(http, users[0], "Hello")  # it is read: whatever had come again has been seen before
    assert len(asked(model)) == before + 1
    status, out, said = await memlog(stack.home, "verify", "--quick")
    assert status == 0, out + said

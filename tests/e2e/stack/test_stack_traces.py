"""Traces of a whole Memlog, as an OTLP endpoint gets them: one connected tree a call, whoever began it."""

import itertools
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from contracts.categories import SEED_CATEGORIES
from contracts.subjects import SEARCH as SUBJECT
from mcp import Client
from mcp_types import Implementation
from support.chat_model import Asked
from support.openai_server import openai_server
from support.spans import Collector, Received, collector, orphans
from support.stack import Stack, eventually, running_stack
from support.talker import finds_facts

CLIENT = "00f067aa0ba902b7"
USER, APP, TEXT, QUERY = "quetzal-user", "axolotl-app", "The okapi sleeps in the pergola", "where does the okapi sleep"
SAID = ("quetzal", "axolotl", "okapi", "pergola")
"""Words of the names, texts and queries of these tests: no span and no line of the log may hold one."""
_traces = (f"{number:032x}" for number in itertools.count(0x4BF92F35))

ADD = {
    ("gateway", "send MEMLOG_COMMANDS_0"),
    ("memory-writer", "process MEMLOG_COMMANDS_0"),
    ("memory-writer", "send MEMLOG_EVENTS_0"),
    ("audit", "process MEMLOG_EVENTS_0"),
    ("audit", "BATCH read_models_g1"),
    ("indexer", "process MEMLOG_EVENTS_0"),
    ("indexer", "upsert qdrant-edge"),
}
SEARCH = {
    ("gateway", "SELECT memlog.apps memlog.default_access memlog.access_rules"),
    ("indexer", f"process {SUBJECT}"),
    ("indexer", "query qdrant-edge"),
    ("gateway", "send MEMLOG_ACCESS_0"),
    ("audit", "process MEMLOG_ACCESS_0"),
    ("audit", "BATCH access_log_g1"),
}
DELETE = ADD


@dataclass(frozen=True, slots=True)
class Traced:
    stack: Stack
    got: Collector

    async def tree(self, trace: str, expected: set[tuple[str, str]]) -> list[Received]:
        """The spans of a trace, once these are among them and each has its parent."""
        spans: list[Received] = []

        async def whole() -> bool:
            spans[:] = self.got.of(trace)
            return expected <= {span.what for span in spans} and not orphans(spans, CLIENT)

        try:
            await eventually(whole)
        except TimeoutError:
            pytest.fail(
                f"missing: {expected - {span.what for span in spans}}, without parents: {orphans(spans, CLIENT)}, "
                f"there: {sorted({span.what for span in spans})}"
            )
        assert len([span for span in spans if span.parent == CLIENT]) == 1
        return spans

    def log(self) -> str:
        return (self.stack.home / "logs" / "memlog.log").read_text()


@pytest.fixture(scope="module", params=["embedded", "processes"])
async def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Traced]:
    """Each service of its own, and several in a process."""
    options = ("--processes",) if request.param == "processes" else ()
    with collector() as got:
        async with (
            openai_server() as model,
            running_stack(
                tmp_path_factory.mktemp("traced"),
                *options,
                OTEL_EXPORTER_OTLP_ENDPOINT=got.endpoint,
                OTEL_BSP_SCHEDULE_DELAY="50",
                MEMLOG_LOG_LEVEL="debug",
                MEMLOG_LLM="talker",
                MEMLOG_LLM_BASE_URL=model.url,
            ) as stack,
        ):
            model.chat.script = _says
            yield Traced(stack, got)


def _says(asked: Asked) -> object:
    return {"categories": [SEED_CATEGORIES[0][0]]} if asked.schema == "Chosen" else finds_facts(asked)


def _traceparent(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{CLIENT}-01"}


async def test_a_call_of_rest_is_one_tree_through_all_services(traced: Traced) -> None:
    async with traced.stack.http() as http:
        add, search, delete = (next(_traces) for _ in range(3))
        body = {"user_id": USER, "app": APP, "text": TEXT, "infer": False}
        answer = await http.post("/api/v1/memories/", json=body, headers=_traceparent(add))
        memory_id = answer.raise_for_status().json()["id"]
        # Before it is deleted: a categorizer that comes to both at once rightly leaves the text alone.
        spans = await traced.tree(add, {*ADD, ("gateway", "POST /api/v1/memories"), ("categorizer", "chat talker")})
        asked = {"user_id": USER, "query": QUERY, "app": APP}
        found = await http.get("/api/v1/search", params=asked, headers=_traceparent(search))
        assert found.raise_for_status().json()["results"]
        gone = {"user_id": USER, "memory_ids": [memory_id]}
        (await http.request("DELETE", "/api/v1/memories/", json=gone, headers=_traceparent(delete))).raise_for_status()
    (request,) = [span for span in spans if span.parent == CLIENT]
    assert request.kind == "SERVER"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["memlog.request_id"] == answer.headers["x-request-id"]
    (embedded,) = [span for span in spans if span.name.startswith("embeddings ")]
    assert embedded.attributes["gen_ai.operation.name"] == "embeddings"
    assert {s.attributes["messaging.system"] for s in spans if s.kind in ("PRODUCER", "CONSUMER")} == {"nats"}
    chat = next(span for span in spans if span.name == "chat talker")
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    await traced.tree(search, {*SEARCH, ("gateway", "GET /api/v1/search")})
    await traced.tree(delete, {*DELETE, ("gateway", "DELETE /api/v1/memories")})
    async with traced.stack.http() as http:
        path, who = f"/api/v1/memories/{memory_id}/access-log", {"user_id": USER}
        (read,) = (await http.get(path, params=who)).raise_for_status().json()["logs"]
        events = (await http.get("/api/v1/events", params=who | {"memory_id": memory_id})).raise_for_status().json()
    assert read["metadata_"]["trace_id"] == search
    traces = {event["type"]: event["trace_id"] for event in events["events"]}
    assert (traces["MemoryAdded"], traces["MemoryDeleted"]) == (add, delete)


async def test_the_facts_that_a_model_finds_in_a_text_belong_to_the_call_that_brought_it(traced: Traced) -> None:
    trace = next(_traces)
    async with traced.stack.http() as http:
        body = {"user_id": USER, "app": APP, "text": f"Hello! remember: {TEXT}, at noon", "infer": True}
        (await http.post("/api/v1/memories/", json=body, headers=_traceparent(trace))).raise_for_status()
    expected = {
        ("memory-writer", "process MEMLOG_EVENTS_0"),
        ("memory-writer", "chat talker"),
        ("memory-writer", "send MEMLOG_COMMANDS_0"),
        ("indexer", f"process {SUBJECT}"),
        ("categorizer", "chat talker"),
    }
    await traced.tree(trace, ADD | expected)


@pytest.mark.parametrize("by", ["headers", "meta"])
async def test_a_call_of_a_tool_is_one_tree_whichever_way_the_client_names_its_trace(traced: Traced, by: str) -> None:
    async def call(tool: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        trace = next(_traces)
        headers, meta = (_traceparent(trace), None) if by == "headers" else ({}, cast("Any", _traceparent(trace)))
        async with traced.stack.http() as http:
            body = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": tool, "arguments": arguments, "_meta": meta or {}},
            }
            told = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25", **headers}
            answer = await http.post(f"/mcp/{APP}/http/{USER}", json=body, headers=told)
        return trace, answer.raise_for_status().json()["result"]["structuredContent"]

    add, added = await call("add_memories", {"text": f"{TEXT}, says {by}", "infer": False})
    search, found = await call("search_memory", {"query": f"{QUERY} by {by}"})
    assert found["results"]
    delete, _ = await call("delete_memories", {"memory_ids": [added["results"][0]["id"]]})
    spans = await traced.tree(add, {*ADD, ("gateway", "tools/call add_memories")})
    (request,) = [span for span in spans if span.parent == CLIENT]
    assert request.kind == "SERVER"
    assert request.attributes["gen_ai.tool.name"] == "add_memories"
    await traced.tree(search, {*SEARCH, ("gateway", "tools/call search_memory")})
    await traced.tree(delete, {*DELETE, ("gateway", "tools/call delete_memories")})


async def test_the_clients_of_the_sdk_are_followed_by_themselves(traced: Traced) -> None:
    trace = next(_traces)
    info = Implementation(name="test client", version="1")
    async with Client(f"{traced.stack.url}/mcp/{APP}/http/{USER}", client_info=info) as client:
        await client.call_tool("list_memories", {}, meta=cast("Any", _traceparent(trace)))
    await traced.tree(trace, {("gateway", "tools/call list_memories"), ("gateway", "send MEMLOG_ACCESS_0")})


async def test_a_replay_links_to_the_traces_of_what_it_applies_again(traced: Traced) -> None:
    trace = next(_traces)
    async with traced.stack.http() as http:
        body = {"user_id": USER, "app": APP, "text": f"{TEXT}, once more", "infer": False}
        (await http.post("/api/v1/memories/", json=body, headers=_traceparent(trace))).raise_for_status()
        await traced.tree(trace, ADD)
        (await http.post("/api/v1/projections/read-models/rebuild", json={})).raise_for_status()

    async def linked() -> list[Received]:
        return [span for span in traced.got.spans if span.name == "replay MEMLOG_EVENTS_0" and trace in span.links]

    for replayed in await eventually(linked):
        assert replayed.trace != trace
        assert replayed.service == "memlog-audit"
    applied = [s.parent for s in traced.got.of(trace) if s.what == ("audit", "process MEMLOG_EVENTS_0")]
    assert len(applied) == len(set(applied))


async def test_errors_are_marked_without_their_words(traced: Traced) -> None:
    trace = next(_traces)
    async with traced.stack.http() as http:
        told = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}
        params = {"name": f"tool of {SAID[0]}", "arguments": {"text": TEXT}, "_meta": _traceparent(trace)}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        await http.post(f"/mcp/{APP}/http/{USER}", json=body, headers=told)
        await http.get(f"/api/v1/{SAID[1]}", params={"q": QUERY}, headers=_traceparent(trace))
        await http.get("/api/v1/search", params={"user_id": USER, "query": QUERY, "limit": "okapi"})

    async def both() -> bool:
        return len(traced.got.of(trace)) >= 2

    await eventually(both)
    assert {span.name for span in traced.got.of(trace)} == {"tools/call", "GET"}
    assert [span.failed for span in traced.got.of(trace) if span.name == "tools/call"] == [True]


async def test_no_span_and_no_line_of_the_log_holds_a_text_a_query_or_a_name(traced: Traced) -> None:
    assert len(traced.got.spans) > 100
    for span in traced.got.spans:
        assert not [word for word in SAID if word in span.raw.lower()], span
    assert not [word for word in SAID for body in traced.got.metrics if word.encode() in body.lower()]
    lines = traced.log().splitlines()
    assert lines
    assert not [line for line in lines if any(word in line.lower() for word in SAID)]


async def test_an_endpoint_that_hangs_holds_up_neither_calls_nor_the_stop(traced: Traced) -> None:
    traced.got.hanging.set()
    async with traced.stack.http() as http:
        for number in range(5):
            body = {"user_id": USER, "app": APP, "text": f"fact {number}", "infer": False}
            (await http.post("/api/v1/memories/", json=body)).raise_for_status()
    assert await traced.stack.stop(signal.SIGTERM) == 0

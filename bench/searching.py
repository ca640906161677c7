"""Searches of a user with many memories, unbounded and bounded to an app, a category, both."""

import random
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from bench.clients import MemoryClient, Rest, Transport
from bench.corpus import APPS, CATEGORIES, Filter, Held
from bench.homes import USER, serving
from bench.load import Latency
from bench.plan import Plan, thousands
from bench.result import Section
from bench.rows import ONE_AND_MANY, rest_row, row
from bench.server import Server
from bench.texts import Texts
from bench.wire import RequestFailed

Bounds = Literal["nothing", "app", "category", "app and category"]
_BOUNDED: tuple[Bounds, ...] = ("app", "category", "app and category")
_LIMIT = 10
_KNOWN_ANSWER = 0.2
"""Share of the questions that have one right answer, which must come first."""


async def run(plan: Plan) -> Section:
    section = Section("search")
    for count in plan.sizes.held:
        async with serving(plan, count, "search") as (server, held):
            await _at_size(plan, server, held, section)
            memory = server.memory_mb()
        section.numbers[f"pss_after_search_{thousands(count)}_mb"] = round(sum(memory.values()), 1)
        section.numbers[f"pss_after_search_{thousands(count)}_indexer_mb"] = memory["indexer"]
    section.notes.append(
        "Each query is asked once only and finds 10. Answers are checked: how many, best first, within the filter; one "
        f"in {round(1 / _KNOWN_ANSWER)} has one right answer, which must come first. Apps hold a quarter of the "
        "memories each, categories about an eighth."
    )
    return section


async def _at_size(plan: Plan, server: Server, held: Held, section: Section) -> None:
    transports: tuple[Transport, ...] = ("rest", "mcp")
    size = thousands(len(held.memories))
    for transport in transports:
        for clients in ONE_AND_MANY:
            found = await searches(plan, server, held, transport, clients, plan.sizes.search_s)
            section.latencies.append(found)
            if clients == 1:
                section.numbers[f"search_{size}_{transport}_p50_ms"] = found.p50_ms
                section.numbers[f"search_{size}_{transport}_p95_ms"] = found.p95_ms
    if len(held.memories) == plan.sizes.held[1]:
        section.latencies.append(await searches(plan, server, held, "mcp-sdk", 1, plan.sizes.search_s))
    for bounds in _BOUNDED:
        for clients in ONE_AND_MANY:
            section.latencies.append(await _bounded(plan, server, held, bounds, clients))


async def searches(
    plan: Plan, server: Server, held: Held, transport: Transport, clients: int, seconds: float
) -> Latency:
    """A row of unbounded searches."""
    questions = _questions(plan.texts, held, "nothing")

    async def search(client: MemoryClient) -> None:
        query, bounds, code = next(questions)
        check(await client.search(query), held, bounds, code)

    name = f"search {transport} {thousands(len(held.memories))}"
    return await row(plan, server, name, transport, USER, clients, search, seconds)


async def _bounded(plan: Plan, server: Server, held: Held, kind: Bounds, clients: int) -> Latency:
    questions = _questions(plan.texts, held, kind)

    async def search(client: Rest) -> None:
        query, bounds, code = next(questions)
        check(await client.search(query, bounds.app, bounds.category), held, bounds, code)

    name = f"search rest {thousands(len(held.memories))}, by {kind}"
    return await rest_row(plan, server, name, USER, clients, search, plan.sizes.filter_s)


def _questions(texts: Texts, held: Held, kind: Bounds) -> Iterator[tuple[str, Filter, str | None]]:
    """Without end: a question, what to bound it to, and the word that the first answer must hold, where there is one
    right answer."""
    chance = random.Random(kind)
    while True:
        bounds = Filter(
            app=chance.choice(APPS) if "app" in kind else None,
            category=chance.choice(CATEGORIES) if "category" in kind else None,
        )
        if chance.random() < _KNOWN_ANSWER:
            code = chance.choice(held.codes(bounds))
            yield texts.question_about(code), bounds, code
        else:
            yield texts.question(), bounds, None


def check(found: Sequence[dict[str, Any]], held: Held, bounds: Filter, code: str | None) -> None:
    """Raises `RequestFailed` when this cannot be the answer to a search within `bounds`."""
    texts = [each["memory"] for each in found]
    scores = [each["score"] for each in found]
    if len(set(texts)) != min(_LIMIT, len(held.newest_first(bounds))):
        raise RequestFailed(f"a search within {bounds} found {len(texts)}")
    if scores != sorted(scores, reverse=True):
        raise RequestFailed("a search's results are not in the order of their scores")
    if not all(text in held.by_text and bounds.lets_through(held.by_text[text]) for text in texts):
        raise RequestFailed(f"a search found what is not within {bounds}")
    if code is not None and code not in texts[0]:
        raise RequestFailed(f"the one right answer, with {code}, did not come first within {bounds}: {texts[:3]}")

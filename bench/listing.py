"""Lists of a user with many memories: first and last page, by text, with substring search, and filtered."""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from bench.clients import MemoryClient, Rest, Transport
from bench.corpus import APPS, CATEGORIES, Filter, Held
from bench.homes import USER, serving
from bench.load import Latency
from bench.plan import Plan, thousands
from bench.result import Section
from bench.rows import ONE_AND_MANY, rest_row, row
from bench.server import Server
from bench.wire import Connection, RequestFailed

_SIZE = 50
_SOME = "coffee"
_SEED = 7
Call = Callable[[Rest], Awaitable[object]]


async def run(plan: Plan) -> Section:
    section = Section("list")
    for count in plan.sizes.held:
        async with serving(plan, count, "list") as (server, held):
            await _at_size(plan, server, held, section)
    some = len(Held(plan.corpus.first(plan.sizes.held[-1])).newest_first(Filter(substring=_SOME)))
    section.notes.append(
        f"Pages of {_SIZE} with their total, each checked in full. Filters are POST /memories/filter with the ids of "
        f"an app (a quarter of the memories), a category (an eighth), both. Of {thousands(plan.sizes.held[-1])} "
        f"memories the rare substring is in one, the other in {some}."
    )
    return section


async def _at_size(plan: Plan, server: Server, held: Held, section: Section) -> None:
    transports: tuple[Transport, ...] = ("rest", "mcp")
    size = thousands(len(held.memories))
    for transport in transports:
        for clients in ONE_AND_MANY:
            section.latencies.append(await lists(plan, server, held, transport, clients, plan.sizes.list_s))
    listings = _pages(held) | await _filters(server, held)
    for what, call in listings.items():
        for clients in ONE_AND_MANY:
            name = f"list rest {size}, {what}"
            section.latencies.append(await rest_row(plan, server, name, USER, clients, call, plan.sizes.list_s))


async def lists(plan: Plan, server: Server, held: Held, transport: Transport, clients: int, seconds: float) -> Latency:
    """A row of lists of the newest."""
    wanted = held.newest_first(Filter())[:_SIZE]

    async def newest(client: MemoryClient) -> None:
        # REST calls it content, MCP memory.
        if [each.get("content", each.get("memory")) for each in await client.list()] != wanted:
            raise RequestFailed("a list is not that of the newest memories")

    name = f"list {transport} {thousands(len(held.memories))}"
    return await row(plan, server, name, transport, USER, clients, newest, seconds)


def _pages(held: Held) -> dict[str, Call]:
    """Without filter or with a substring."""
    everything = held.newest_first(Filter())
    last = math.ceil(len(everything) / _SIZE)
    rare = held.codes(Filter())
    chance = random.Random(_SEED)

    async def last_page(client: Rest) -> None:
        _check(await client.page(page=last), everything, last)

    async def by_text(client: Rest) -> None:
        _check(await client.page(sort_column="memory", sort_direction="asc"), sorted_texts)

    async def substring(client: Rest, needle: str) -> None:
        # In other letters than it is stored in.
        _check(await client.page(search_query=needle.upper()), held.newest_first(Filter(substring=needle)))

    sorted_texts = sorted(everything, key=str.lower)
    return {
        "last page": last_page,
        "by text": by_text,
        "rare substring": lambda client: substring(client, chance.choice(rare)),
        f"'{_SOME}'": lambda client: substring(client, _SOME),
    }


async def _filters(server: Server, held: Held) -> dict[str, Call]:
    client = Rest(await Connection.open("127.0.0.1", server.port), USER)
    apps, categories = await client.ids_of_apps(), await client.ids_of_categories()
    await client.close()
    chance = random.Random(_SEED)

    async def filtered(client: Rest, bounds: Filter) -> None:
        fields: dict[str, Any] = {}
        if bounds.app is not None:
            fields["app_ids"] = [apps[bounds.app]]
        if bounds.category is not None:
            fields["category_ids"] = [categories[bounds.category]]
        if bounds.substring is not None:
            fields["search_query"] = bounds.substring
        _check(await client.filter(**fields), held.newest_first(bounds))

    return {
        "by app": lambda client: filtered(client, Filter(app=chance.choice(APPS))),
        "by category": lambda client: filtered(client, Filter(category=chance.choice(CATEGORIES))),
        "by app and category": lambda client: filtered(client, Filter(chance.choice(APPS), chance.choice(CATEGORIES))),
        f"by both, '{_SOME}'": lambda client: filtered(
            client, Filter(chance.choice(APPS), chance.choice(CATEGORIES), _SOME)
        ),
    }


def _check(page: dict[str, Any], wanted: Sequence[str], number: int = 1) -> None:
    """Raises `RequestFailed` when this is not that page of all that is wanted."""
    start = (number - 1) * _SIZE
    if page["total"] != len(wanted):
        raise RequestFailed(f"a list says that there are {page['total']}; there are {len(wanted)}")
    if [item["content"] for item in page["items"]] != wanted[start : start + _SIZE]:
        raise RequestFailed(f"page {number} of a list is not what it should be")

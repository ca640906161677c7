"""Where the time of one request goes: what passes between the services, seen on NATS from outside.

The log's messages, the announcements and the answers are all messages, so a subscription to everything tells when
each hop ended, on the clock that also times the request. The tap is one more receiver: some tens of microseconds.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.msg import Msg

from bench.clients import MemoryClient, Transport, connect
from bench.homes import USER, serving
from bench.nats_address import nats_address
from bench.plan import Plan
from bench.result import Section

_WARM_UP = 30
_SETTLE_S = 0.02
_Seen = list[tuple[float, str]]
_Hops = dict[str, float]


async def run(plan: Plan) -> Section:
    """Medians over single requests, one at a time, to the smallest of the filled homes."""
    section = Section("hops")
    count = 100 if plan.sizes.starts == 1 else 300
    transports: tuple[Transport, ...] = ("rest", "mcp")
    async with serving(plan, plan.sizes.held[0], "hops") as (server, _), _tap(server.home) as seen:
        for transport in transports:
            client = await connect(transport, server.port, USER)

            async def add(client: MemoryClient = client) -> None:
                await client.add(plan.texts.memory(), "searchable")

            async def search(client: MemoryClient = client) -> None:
                await client.search(plan.texts.question())

            adds = await _medians(seen, add, _add_hops, count)
            searches = await _medians(seen, search, _search_hops, count)
            section.numbers |= {f"add {transport}: {hop} (ms)": value for hop, value in adds.items()}
            section.numbers |= {f"search {transport}: {hop} (ms)": value for hop, value in searches.items()}
            await client.close()
    return section


async def _medians(
    seen: _Seen, call: Callable[[], Awaitable[None]], hops: Callable[[float, _Seen, float], _Hops], count: int
) -> _Hops:
    found: dict[str, list[float]] = {}
    for number in range(_WARM_UP + count):
        seen.clear()
        started = time.perf_counter()
        await call()
        ended = time.perf_counter()
        await asyncio.sleep(_SETTLE_S)  # what was on its way when the answer came, and the access log's projection
        if number >= _WARM_UP:
            for hop, seconds in hops(started, seen, ended).items():
                found.setdefault(hop, []).append(seconds)
    return {hop: round(1000 * statistics.median(seconds), 2) for hop, seconds in found.items()}


def _add_hops(started: float, seen: _Seen, ended: float) -> _Hops:
    """The hops of an add in order, but for the two projections: they run beside each other."""
    command, event = _first(seen, "memlog.cmd."), _first(seen, "memlog.evt.")
    delivered = _first(seen, "delivery of memlog.cmd.")
    durable, stored = _first(seen, "answer to memlog.cmd."), _first(seen, "answer to memlog.evt.")
    index, models = _first(seen, "memlog.position.index."), _first(seen, "memlog.position.read-models.")
    return {
        "1 request to command published": command - started,
        "2 command published to acknowledged (fsync)": durable - command,
        "2 command published to delivered to the writer": delivered - command,
        "3 command delivered to event published": event - delivered,
        "4 event published to acknowledged (fsync)": stored - event,
        "4 event published to delivered to a projection": _first(seen, "delivery of memlog.evt.") - event,
        "5 event acknowledged to index announced": index - stored,
        "5 event acknowledged to read models announced": models - stored,
        "6 both announced to answer": ended - max(index, models),
        "all": ended - started,
    }


def _search_hops(started: float, seen: _Seen, ended: float) -> _Hops:
    asked = _first(seen, "memlog.ask.search")
    answered = _first(seen, "answer to memlog.ask.search")
    access = _first(seen, "memlog.access.")
    durable = _first(seen, "answer to memlog.access.")
    return {
        "1 request to indexer asked (principal query)": asked - started,
        "2 indexer (embed, hybrid query)": answered - asked,
        "3 indexer's answer to access event (texts query)": access - answered,
        "4 access event acknowledged (fsync)": durable - access,
        "5 access event acknowledged to answer": ended - durable,
        "all": ended - started,
    }


def _first(seen: _Seen, start: str) -> float:
    return next((at for at, what in seen if what.startswith(start)), float("nan"))


@asynccontextmanager
async def _tap(home: Path) -> AsyncGenerator[_Seen]:
    """Everything that passes: (when, subject), `answer to` a request's subject, `delivery of` a stream's subject."""
    seen: _Seen = []
    asked: dict[str, str] = {}

    async def note(message: Msg) -> None:
        at = time.perf_counter()
        of = asked.pop(message.subject, None)
        if of is not None:
            seen.append((at, f"answer to {of}"))
        elif message.reply.startswith("$JS.ACK."):
            seen.append((at, f"delivery of {message.subject}"))
        else:
            if message.reply:
                asked[message.reply] = message.subject
            seen.append((at, message.subject))

    url = nats_address(home)
    assert url is not None
    client = await nats.connect(url)  # pyright: ignore[reportUnknownMemberType]
    try:
        # One subscription, so that a request is seen before its answer.
        await client.subscribe(">", cb=note)  # pyright: ignore[reportUnknownMemberType]
        yield seen
    finally:
        await client.close()

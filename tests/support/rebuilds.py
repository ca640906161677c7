"""A running audit on a log, and somebody who orders rebuilds as the gateway does."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psutil
from audit.container import NAME, serve
from contracts import subjects
from contracts.errors import MemlogError, error_from_code
from contracts.generations import GenerationAction, GenerationReply, GenerationRequest, GenerationView, ProjectionView
from contracts.positions import Position
from contracts.subjects import generations_subject
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from pydantic import SecretStr
from runtime.leases import Leases
from runtime.postgres import Pool
from runtime.service import open_context
from runtime.settings import Settings
from support.log_events import UID, added, new_event
from support.servers import Log, eventually

Wants = Callable[[str], bool]
"""Whether an instance may own the lease of this name."""


class _Choosy(Leases):
    """Owns only what it is allowed to: so a test decides which instance owns what."""

    wants: Wants

    async def run_owned(self, name: str, body: Callable[[int], Awaitable[None]]) -> None:
        if not self.wants(name):
            await asyncio.Event().wait()
        await super().run_owned(name, body)


@asynccontextmanager
async def auditing(
    settings: Settings, database: str, wants: Wants = lambda _: True
) -> AsyncGenerator["asyncio.Task[None]"]:
    """An audit for the length of the block, on a connection of its own; stopped in order at the end."""
    stop, ready = asyncio.Event(), asyncio.Event()
    told = settings.model_copy(update={"postgres_dsn": SecretStr(database)})

    async def live() -> None:
        async with open_context(NAME, told, stop, ready) as context:
            choosy = await _Choosy.open(context.js, f"audit-{id(stop)}", told.lease_ttl, 1, False)
            assert isinstance(choosy, _Choosy)
            choosy.wants = wants
            await serve(replace(context, leases=choosy))

    task = asyncio.create_task(live())
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait((task, waiting), timeout=60, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=60)
        assert task.done(), "audit did not stop"
    task.result()


async def append(log: Log, first: int, count: int, uid: str = UID) -> None:
    """Memories `first` onwards, an event each."""
    key = await log.keys.create(uid)
    wave = [
        new_event(subjects.memory(uid, f"m-{n}"), event=added(f"m-{n}", f"Note {n}"), key=key)
        for n in range(first, first + count)
    ]
    assert all(isinstance(position, Position) for position in await log.events.append(wave))


def filling() -> list[psutil.Process]:
    """The processes that fill generations now, started by this one."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "fill" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@asynccontextmanager
async def blocked(pool: Pool, table: str) -> AsyncGenerator[None]:
    """Nobody can write to (or read) the table while the block runs."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await connection.execute(f"LOCK TABLE {table}")
        yield


class Operator:
    """Orders of one projection."""

    def __init__(self, log: Log, projection: str = "read-models") -> None:
        self._log = log
        self.projection = projection

    async def ask(self, action: GenerationAction = "describe", **options: Any) -> ProjectionView:
        """What the projection is like after that; raises what it was refused with. Nobody takes orders for a moment
        where a machine that stands still has cost the lease."""
        request = GenerationRequest(action=action, **options).model_dump_json().encode()
        answers: list[Msg] = []

        async def answered() -> bool:
            with contextlib.suppress(NoRespondersError):
                answers.append(
                    await self._log.client.request(generations_subject(self.projection), request, timeout=60)
                )
            return bool(answers)

        await eventually(answered)
        reply = GenerationReply.model_validate_json(answers[0].data)
        if reply.projection is None:
            raise error_from_code(reply.code or "", reply.error or "")
        return reply.projection

    async def generation(self, number: int) -> GenerationView | None:
        return next((each for each in (await self.ask()).generations if each.number == number), None)

    async def states(self) -> dict[int, str]:
        return {found.number: found.state for found in (await self.ask()).generations}

    async def reachable(self) -> None:
        """Until somebody takes orders."""

        async def there() -> bool:
            try:
                return bool((await self.ask()).generations)
            except MemlogError:
                return False

        await eventually(there)

    async def answers(self) -> None:
        """Until somebody takes orders, and the projection has passed the whole log."""
        await self.reachable()

        async def caught_up() -> bool:
            view = await self.ask()
            return view.failure is None and view.lag == 0

        await eventually(caught_up, 60)

    async def becomes(self, number: int, state: str, seconds: float = 90.0) -> GenerationView:
        """Until the generation is in this state (and compared, when it follows); fails at once when it failed."""
        found: GenerationView | None = None

        async def there() -> bool:
            nonlocal found
            found = await self.generation(number)
            assert found is None or state == "failed" or found.failure is None, found
            return found is not None and found.state == state and (state != "following" or found.parity is not None)

        await eventually(there, seconds)
        assert found is not None
        return found

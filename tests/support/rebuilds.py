"""A running audit on a log, and somebody who orders rebuilds as the gateway does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from audit.container import NAME, serve
from contracts.errors import error_from_code
from contracts.generations import GenerationAction, GenerationReply, GenerationRequest, ProjectionView
from contracts.subjects import generations_subject
from pydantic import SecretStr
from runtime.service import open_context
from runtime.settings import Settings
from support.servers import Log, eventually


@asynccontextmanager
async def auditing(settings: Settings, database: str) -> AsyncGenerator["asyncio.Task[None]"]:
    """An audit for the length of the block, on a connection of its own; stopped in order at the end."""
    stop, ready = asyncio.Event(), asyncio.Event()
    told = settings.model_copy(update={"postgres_dsn": SecretStr(database)})

    async def live() -> None:
        async with open_context(NAME, told, stop, ready) as context:
            await serve(context)

    task = asyncio.create_task(live())
    waiting = asyncio.ensure_future(ready.wait())
    await asyncio.wait((task, waiting), timeout=30, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=15)
        assert task.done(), "audit did not stop"
    task.result()


class Operator:
    """Orders of one projection."""

    def __init__(self, log: Log, projection: str = "read-models") -> None:
        self._log = log
        self.projection = projection

    async def ask(self, action: GenerationAction = "describe", **options: Any) -> ProjectionView:
        """What the projection is like after that; raises what it was refused with."""
        request = GenerationRequest(action=action, **options).model_dump_json().encode()
        answer = await self._log.client.request(generations_subject(self.projection), request, timeout=60)
        reply = GenerationReply.model_validate_json(answer.data)
        if reply.projection is None:
            raise error_from_code(reply.code or "", reply.error or "")
        return reply.projection

    async def states(self) -> dict[int, str]:
        return {found.number: found.state for found in (await self.ask()).generations}

    async def answers(self) -> None:
        """Until somebody takes orders, and the projection has passed the whole log."""

        async def caught_up() -> bool:
            try:
                view = await self.ask()
            except Exception:  # noqa: BLE001 - nobody there yet
                return False
            return view.failure is None and view.lag == 0

        await eventually(caught_up, 30)

    async def serves(self, number: int, seconds: float = 40.0) -> None:
        """Until this generation serves; fails at once when it failed."""

        async def serving() -> bool:
            view = await self.ask()
            found = {each.number: each for each in view.generations}
            assert number not in found or found[number].failure is None, found[number].failure
            return number in found and found[number].state == "serving"

        await eventually(serving, seconds)

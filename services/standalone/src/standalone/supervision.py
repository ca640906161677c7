"""Keeping parts alive: children that end by themselves are started again, services in this process are watched.

What cannot be helped by starting again (settings, a log that is not trusted) ends the whole with its reason.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from contracts.errors import ConfigurationError, LogNotTrusted, MemlogError
from contracts.streams import SERVING_PROJECTIONS
from runtime.nats import connect
from runtime.probes import Probes
from runtime.service import REFUSED, Serve, open_context
from runtime.settings import Settings
from runtime.waiting import Positions

from standalone.children import Child
from standalone.failures import ServerDidNotStart

log = structlog.get_logger()
START_TIMEOUT = 60.0
_STOP_TIMEOUT = 3.0
_PAUSE_FIRST, _PAUSE_MOST = 0.1, 5.0
_RAN_WELL = 10.0


class Server(Protocol):
    """Anything that runs as a child."""

    @property
    def child(self) -> Child: ...


S = TypeVar("S", bound=Server)
Start = Callable[[S | None], AbstractAsyncContextManager[S]]
"""Starts a server, given the one before it (None: the first start)."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A child that is all there is to say about its server."""

    child: Child


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    task: "asyncio.Task[None]"
    stop: asyncio.Event


class Parts:
    """The parts of one Memlog, in the order of their start. `ended` fails with the reason when one is beyond help."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parts: list[_Part] = []

    async def keep(self, name: str, start: Start[S]) -> S:
        """Start a server and keep it alive: when it ends, start it again, with growing pauses. Returns the first one
        once it is ready; a first start that fails raises."""
        self._refuse_when_ended()
        first: asyncio.Future[S] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        self._add(name, stop, _keep_alive(name, start, first, stop))
        return await self.or_fail(_within(name, first))

    async def serve(self, name: str, settings: Settings, serve: Serve) -> None:
        """Start a service in this process and wait until it is ready. Its end, for whatever reason, ends the whole."""
        self._refuse_when_ended()
        stop, ready = asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with open_context(name, settings, stop, ready, self._probes) as context:
                await serve(context)

        self._add(name, stop, live())
        await self.or_fail(_within(name, asyncio.ensure_future(ready.wait())))

    async def or_fail(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await `work`, unless a part fails meanwhile: then raise why."""
        task = asyncio.ensure_future(work)
        await asyncio.wait((task, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            self.ended.result()
            raise ServerDidNotStart("a part of Memlog ended while it was starting")
        return task.result()

    async def stop(self) -> None:
        """Stop in the reverse order of the start: the gateway first, so that nothing new comes in, the servers last."""
        for part in reversed(self._parts):
            part.stop.set()
            _, late = await asyncio.wait((part.task,), timeout=_STOP_TIMEOUT)
            if late:
                log.warning("part_cut_off", part=part.name)
                part.task.cancel()
                await asyncio.wait((part.task,), timeout=_STOP_TIMEOUT)
        if self.ended.done():
            self.ended.exception()  # retrieved: whoever waited for it has seen it
        else:
            self.ended.cancel()

    def _refuse_when_ended(self) -> None:
        """What is started beside a part that failed would outlive the stop of all."""
        if self.ended.done():
            self.ended.result()

    def _add(self, name: str, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        self._parts.append(_Part(name, task, stop))
        task.add_done_callback(lambda done: self._on_end(done, stop))

    def _on_end(self, task: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None and not stop.is_set():
            error = ServerDidNotStart(f"{task.get_name()} ended although nobody stopped it")
        if error is not None and not self.ended.done():
            self.ended.set_exception(error)


async def _keep_alive(name: str, start: Start[S], first: "asyncio.Future[S]", stop: asyncio.Event) -> None:
    pause = _PAUSE_FIRST
    before: S | None = None
    while not stop.is_set():
        began = time.monotonic()
        try:
            async with start(before) as server:
                before = server
                if not first.done():
                    first.set_result(server)
                await _until_one(server.child.wait(), stop.wait())
                if stop.is_set():
                    return
                ended = server.child.failure("ended by itself")
                if server.child.returncode == REFUSED:
                    raise ConfigurationError(ended.message)
                log.error("part_ended", part=name, exit_code=server.child.returncode)
        except (ConfigurationError, LogNotTrusted):
            raise
        except (MemlogError, OSError) as error:
            if before is None:
                raise
            log.error("part_did_not_start", part=name, reason=str(error))
        pause = _PAUSE_FIRST if time.monotonic() - began > _RAN_WELL else min(pause * 2, _PAUSE_MOST)
        await _until_one(asyncio.sleep(pause), stop.wait())


async def _until_one(*work: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _within(name: str, ready: "asyncio.Future[Any]") -> Any:
    try:
        async with asyncio.timeout(START_TIMEOUT):
            return await ready
    except TimeoutError:
        raise ServerDidNotStart(f"{name} was not ready within {START_TIMEOUT:.0f} s") from None


async def projections_answer(settings: Settings) -> None:
    """Wait until every serving projection has checked the log and says where it is."""
    async with connect(settings, "memlog-start") as client:
        positions = Positions(client)
        async with asyncio.timeout(START_TIMEOUT):
            for shard in range(settings.shards):
                for name in SERVING_PROJECTIONS:
                    while await positions.ask(name, shard, timeout=0.5) is None:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.02)

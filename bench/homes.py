"""Homes whose user has many memories: filled once a run, then copied for whoever measures on one.

Adding them over REST would take twice as long. They are written into the log, and read models and index follow as they
do after any restart.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.postgres import create_pool
from standalone.home import Home
from standalone.postgres_server import postgres_server

from bench.clients import Rest
from bench.corpus import APPS, Filter, Held
from bench.log_writing import write_memories
from bench.plan import Plan, thousands
from bench.server import Server, running
from bench.wire import Connection, RequestFailed

USER = "owner"
_FILL_S = 1200.0
_SAY_EVERY_S = 10.0


async def copy_with(plan: Plan, count: int, name: str) -> Path:
    """A home of its own for `name`, in which USER has the first `count` memories of the corpus, all searchable."""
    filled = await _filled(plan, count)
    copy = plan.home(f"{name}-{count}")
    # Not what belongs to one start only: records of processes, their logs.
    ignored = shutil.ignore_patterns("run", "logs")
    await asyncio.to_thread(shutil.copytree, filled, copy, symlinks=True, ignore=ignored)
    return copy


@asynccontextmanager
async def serving(
    plan: Plan, count: int, name: str, settings: dict[str, str] | None = None
) -> AsyncGenerator[tuple[Server, Held]]:
    """A started Memlog on such a copy, which is removed at the end, and what it holds. `settings` are MEMLOG_*
    variables."""
    home = await copy_with(plan, count, name)
    try:
        async with running(home, settings=settings) as server:
            yield server, Held(plan.corpus.first(count))
    finally:
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


async def _filled(plan: Plan, count: int) -> Path:
    done = plan.home(f"filled-{count}")
    if done.exists():
        return done
    started = time.perf_counter()
    smaller = [size for size in plan.sizes.held if size < count and plan.home(f"filled-{size}").exists()]
    held = max(smaller, default=0)
    server = Server(await copy_with(plan, held, "growing") if held else plan.home("growing"))
    if not held:
        await _register(server)
    new = plan.corpus.first(count)[held:]
    plan.say(f"filling a home with {thousands(count)} memories: {len(new)} to write")
    await write_memories(server.home, USER, new, lambda done: plan.say(f"  {done} of {len(new)} in the log"))
    await _derive(plan, server, count)
    await _settle(server.home)
    server.home.rename(done)
    plan.say(f"filled: {thousands(count)} memories after {time.perf_counter() - started:.0f} s")
    return done


async def _register(server: Server) -> None:
    """A user and apps come into being when they are used."""
    await server.start()
    try:
        for app in APPS:
            client = Rest(await Connection.open("127.0.0.1", server.port), USER, app)
            await client.search("anything")
            await client.close()
    finally:
        await server.stop()


async def _derive(plan: Plan, server: Server, count: int) -> None:
    """Start, so that read models and index follow the log, and see that all of it is there."""
    server.settings = {"MEMLOG_EMBED_THREADS": str(os.cpu_count() or 1)}
    telling = asyncio.create_task(_tell_progress(plan, server))
    try:
        await server.start(within=_FILL_S)
        client = Rest(await Connection.open("127.0.0.1", server.port), USER)
        page = await client.page(size=10)
        await client.close()
        newest = Held(plan.corpus.first(count)).newest_first(Filter())
        if page["total"] != count or [item["content"] for item in page["items"]] != newest[:10]:
            raise RequestFailed(f"{page['total']} memories are listed, or not those that were written: {count}")
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
        await server.stop()


async def _tell_progress(plan: Plan, server: Server) -> None:
    while True:
        await asyncio.sleep(_SAY_EVERY_S)
        with contextlib.suppress(OSError, RequestFailed):
            connection = await Connection.open("127.0.0.1", server.port)
            positions = (await connection.get("/api/v1/health")).json()["positions"]
            connection.close()
            plan.say("  " + ", ".join(f"{name} at {at}" for name, at in positions.items()))


async def _settle(folder: Path) -> None:
    """What autovacuum does within a minute or so: without it a row would depend on when that came by."""
    with Home.open(folder) as home:
        async with postgres_server(home) as server:
            pool = await create_pool(server.dsn, application_name="bench", size=1, command_timeout=_FILL_S)
            async with pool.acquire() as connection:
                await connection.execute("VACUUM (ANALYZE)")
            pool.terminate()

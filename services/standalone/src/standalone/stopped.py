"""Verifying a log while Memlog is stopped, or refuses to serve: with its two servers alone, and nothing else."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from audit.anchors import AnchorFile, Anchors
from audit.checks import Verifiable
from audit.verifier import Verifier
from contracts.errors import LogNotTrusted
from contracts.verification import AnchorReply, ChainHead, Verification
from runtime.event_store import EventStore
from runtime.log_checks import read_identities
from runtime.postgres import create_pool

from standalone.failures import NoLog
from standalone.home import Home
from standalone.log_access import serving, shards_of
from standalone.postgres_server import postgres_server

_LOOK_S = 0.2


class Stopped:
    """The log of a stopped Memlog, with its derived tables."""

    def __init__(self, verifier: Verifier, anchors: Anchors) -> None:
        self._verifier = verifier
        self._anchors = anchors

    async def verify(self, show: Callable[[Verification], object]) -> Verification:
        """All but what needs a Memlog that runs; `show` is told how far it is."""
        running = asyncio.ensure_future(self._verifier.run())
        while not running.done():
            await asyncio.wait((running,), timeout=_LOOK_S)
            show(self._verifier.view())
        return running.result()

    async def check(self, heads: Sequence[ChainHead]) -> AnchorReply:
        """See `audit.anchors.Anchors.check`."""
        return await self._anchors.check(heads)


@asynccontextmanager
async def stopped(home: Path | None) -> AsyncGenerator[Stopped]:
    """Start the servers of a home for the length of the block, under its lock. Raises `NoLog`, `HomeInUse` when Memlog
    runs there, `LogNotTrusted` when the NATS server cannot recover the log."""
    if not Home.at(home).has_log():
        raise NoLog(f"there is no log in {Home.at(home).root}")
    with Home.open(home) as opened:
        async with serving(opened) as server, postgres_server(opened) as postgres:
            try:
                shards = await shards_of(server)
            except (LogNotTrusted, NoLog):
                shards = server.settings.shards  # the checks say what is wrong with the first event
            pool = await create_pool(postgres.dsn, application_name="memlog-verify", size=2, command_timeout=300.0)
            events = EventStore(server.client, server.js, shards)
            await events.open()
            try:
                anchors = Anchors(pool, events, await read_identities(events, shards))
                kept = AnchorFile(server.settings.anchor_file or opened.anchors)
                log = Verifiable(server.js, events, pool)
                yield Stopped(Verifier(log, server.client, anchors, kept, serving=False), anchors)
            finally:
                await events.close()
                pool.terminate()

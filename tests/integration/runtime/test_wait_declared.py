"""A service that may not make streams waits until they are there."""

import asyncio

import pytest
from contracts.errors import Unavailable
from runtime.event_store import EventStore
from runtime.leases import Leases
from runtime.log_checks import open_log
from runtime.nats import connect, declare_all, jetstream, wait_declared
from support.servers import Servers


async def test_a_service_that_may_not_make_streams_waits_for_the_log_and_says_for_whom(servers: Servers) -> None:
    settings = servers.settings(declare_streams=False, shards=2)
    async with connect(settings, "test") as client:
        js = jetstream(client)
        with pytest.raises(Unavailable, match=r"MEMLOG_DEAD is not there: start memory-writer"):
            await wait_declared(js, settings, patience=0.0)
        assert await js.streams_info() == []

        waiting = asyncio.ensure_future(wait_declared(js, settings))
        await declare_all(js, settings, settings.shards)
        with pytest.raises(Unavailable, match="MEMLOG_EVENTS_0"):  # it has to begin, too
            await wait_declared(js, settings, patience=0.0)
        events = EventStore(client, js, settings.shards)
        await events.open()
        await open_log(js, events, settings.shards)
        await events.close()
        with pytest.raises(Unavailable, match="KV_MEMLOG_LEASES"):
            await wait_declared(js, settings, patience=0.0)
        assert not waiting.done()
        await Leases.open(js, "writer", 1.0, 1, False)
        async with asyncio.timeout(30):
            await waiting

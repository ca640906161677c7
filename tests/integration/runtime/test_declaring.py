"""The streams of the log are made by who may make them; others wait until they are there."""

import asyncio

import pytest
from contracts.errors import Unavailable
from nats.js.api import StreamConfig
from nats.js.errors import ServerError
from runtime.errors import NO_STORE
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


@pytest.mark.parametrize("refusals", [2, 100])
async def test_a_stream_whose_files_cannot_be_made_yet_is_tried_again_for_a_while(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    settings = servers.settings(shards=1)
    left = refusals
    async with connect(settings, "test") as client:
        js = jetstream(client)
        add_stream = js.add_stream  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

        async def refused(wanted: StreamConfig) -> object:
            nonlocal left
            if wanted.name == "MEMLOG_DEAD" and left:
                left -= 1
                raise ServerError(code=500, err_code=NO_STORE, description="error creating store for stream")
            return await add_stream(wanted)

        monkeypatch.setattr(js, "add_stream", refused)
        if refusals == 2:
            await declare_all(js, settings, 1)
        else:
            with pytest.raises(ServerError, match="error creating store"):
                await declare_all(js, settings, 1)
            assert left < refusals - 1
        streams = {info.config.name for info in await js.streams_info()}
    assert ("MEMLOG_DEAD" in streams) is (refusals == 2)

"""Opening the log: declared once, trusted only when it is the one that it was."""

import asyncio
import http.server
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from contracts import subjects
from contracts.api import Announcement
from contracts.codec import encode
from contracts.errors import ConfigurationError, LogNotTrusted, Unavailable
from contracts.events import AppPaused, LogStarted
from contracts.positions import Checkpoint, Position, message_hash
from contracts.streams import GLOBAL, commands, events, of_shard
from contracts.subjects import log_start_subject, position_request_subject
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType
from runtime.event_store import EventStore
from runtime.log_checks import check_against_projections, check_checkpoint, open_log
from runtime.nats import connect, declare_all, jetstream, require_sync_always, subscribe
from runtime.service import open_context
from runtime.settings import Settings, load_settings
from support.log_events import UID, meta_of, new_event
from support.servers import Log, empty

MakeSettings = Callable[..., Settings]


@contextmanager
def monitor(body: bytes, status: int = 200) -> Generator[str]:
    """A monitoring endpoint that answers this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


# -- what the server promises ------------------------------------------------------------------------------------


@pytest.mark.guarantee("G1")
async def test_a_server_that_syncs_always_is_accepted(settings: MakeSettings) -> None:
    await require_sync_always(settings())


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize("body", [b'{"config": {"sync_always": false}}', b'{"config": {}}', b"{}", b"<html>"])
async def test_a_server_that_does_not_say_that_it_syncs_always_is_refused(settings: MakeSettings, body: bytes) -> None:
    with monitor(body) as url, pytest.raises(LogNotTrusted, match="sync_interval: always"):
        await require_sync_always(settings(nats_monitor_url=url))


@pytest.mark.guarantee("G1")
async def test_a_server_that_cannot_be_asked_is_refused(settings: MakeSettings) -> None:
    with monitor(b"", 500) as url, pytest.raises(LogNotTrusted, match="MEMLOG_NATS_MONITOR_URL"):
        await require_sync_always(settings(nats_monitor_url=url))
    with pytest.raises(LogNotTrusted):
        await require_sync_always(settings(nats_monitor_url="http://127.0.0.1:9"))
    with pytest.raises(ConfigurationError):
        await require_sync_always(settings(nats_monitor_url=None))


async def test_an_unsafe_server_is_used_when_that_was_asked_for(settings: MakeSettings) -> None:
    await require_sync_always(settings(nats_monitor_url=None, allow_unsafe_sync=True))


async def test_without_a_server_the_message_says_what_to_do(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.nats._CONNECT_TIMEOUT", 0.5)
    with pytest.raises(Unavailable, match="MEMLOG_NATS_URL"):
        async with connect(settings(nats_url="nats://127.0.0.1:9"), "test"):
            pass


# -- streams -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3], indirect=True)
async def test_declaring_again_changes_nothing_and_reports_no_drift(log: Log) -> None:
    before = {info.config.name: info.created for info in await log.js.streams_info()}
    assert await declare_all(log.js, log.settings, log.shards) == []
    assert {info.config.name: info.created for info in await log.js.streams_info()} == before
    names = {spec.name for spec in GLOBAL} | {s.name for k in range(log.shards) for s in of_shard(k, 1, 0)}
    assert names <= set(before)


async def test_streams_keep_what_they_must(log: Log) -> None:
    for spec in (*GLOBAL, *of_shard(0, log.settings.command_retention, 0)):
        config = (await log.js.stream_info(spec.name)).config
        assert (config.storage, config.discard) == (StorageType.FILE, DiscardPolicy.NEW), spec.name
        assert config.retention == RetentionPolicy.LIMITS
        assert config.allow_direct
        assert not config.deny_delete, "erasure needs it"
        assert not config.deny_purge
        assert (config.max_msgs, config.max_bytes) == (-1, -1)
    assert (await log.js.stream_info(events(0).name)).config.max_age in (None, 0)


async def test_drift_is_reported_and_not_changed(log: Log) -> None:
    config = (await log.js.stream_info(commands(0).name)).config
    config.max_age = 60.0
    config.duplicate_window = 1.0
    await log.js.update_stream(config)  # pyright: ignore[reportUnknownMemberType]
    [line] = await declare_all(log.js, log.settings, 1)
    assert "MEMLOG_COMMANDS_0: max_age is 60.0" in line
    assert (await log.js.stream_info(commands(0).name)).config.max_age == 60.0


async def test_many_services_may_declare_and_start_the_log_at_once(settings: MakeSettings, log: Log) -> None:
    await empty(log.js)

    async def start() -> str:
        async with connect(settings(), "one of many") as client:
            js = jetstream(client)
            await declare_all(js, settings(), 1)
            store = EventStore(client, js, 1)
            await store.open()
            [identity] = await open_log(js, store, 1)
            return identity.incarnation

    assert len(set(await asyncio.gather(*(start() for _ in range(6))))) == 1
    assert await log.events.last_sequence(events(0).name) == 1


# -- identity ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3], indirect=True)
async def test_the_first_event_of_each_shard_says_which_log_it_is(log: Log) -> None:
    first = await open_log(log.js, log.events, log.shards)
    assert await open_log(log.js, log.events, log.shards) == first
    assert [identity.shard for identity in first] == list(range(log.shards))
    assert len({identity.incarnation for identity in first}) == log.shards
    for shard in range(log.shards):
        assert await log.events.last_sequence(events(shard).name) == 1


async def test_a_new_log_is_another_log(log: Log) -> None:
    [first] = await open_log(log.js, log.events, 1)
    await log.js.delete_stream(events(0).name)
    await declare_all(log.js, log.settings, 1)
    [second] = await open_log(log.js, log.events, 1)
    assert first != second


@pytest.mark.parametrize("shards", [3], indirect=True)
@pytest.mark.parametrize("wrong", [1, 2, 8])
async def test_another_number_of_shards_is_refused(log: Log, settings: MakeSettings, wrong: int) -> None:
    with pytest.raises(ConfigurationError, match="MEMLOG_SHARDS"):
        async with open_context("test", settings(shards=wrong), asyncio.Event()):
            pass


async def test_a_log_without_its_first_event_is_not_trusted(log: Log) -> None:
    await log.events.append([new_event(subjects.user(UID))])
    await log.js.delete_msg(events(0).name, 1)
    with pytest.raises(LogNotTrusted, match="first one is gone"):
        await open_log(log.js, log.events, 1)


@pytest.mark.parametrize(
    "first", [b"garbage", encode(meta_of("x"), AppPaused(app_id="a"), None), b"sealed", b"swapped"]
)
async def test_a_log_with_another_first_event_is_not_trusted(log: Log, first: bytes) -> None:
    if first == b"another":
        first = encode(meta_of("x"), AppPaused(app_id="a"), None)
    if first == b"sealed":
        [new] = [new_event(subjects.user(UID))]
        first = encode(new.meta, new.event, None).replace(b"AppPaused", b"UserRegistered")
    if first == b"swapped":
        first = encode(meta_of("x", "system"), LogStarted(incarnation="0" * 32, shard=1, shards=1), None)
    await log.js.purge_stream(events(0).name)
    await log.js.delete_stream(events(0).name)
    await declare_all(log.js, log.settings, 1)
    await log.js.publish(log_start_subject(0), first)
    with pytest.raises(LogNotTrusted, match="Restore the log from a backup"):
        await open_log(log.js, log.events, 1)


@pytest.mark.parametrize("shards", [3], indirect=True)
async def test_a_shard_that_was_lost_is_not_begun_anew(log: Log, settings: MakeSettings) -> None:
    await log.keys.create(UID)
    await log.js.delete_stream(events(2).name)
    with pytest.raises(LogNotTrusted, match="MEMLOG_EVENTS_2 is empty"):
        async with open_context("test", settings(shards=3), asyncio.Event()):
            pass


async def test_a_log_whose_keys_were_lost_is_not_served(log: Log, settings: MakeSettings) -> None:
    await log.events.append([new_event(subjects.user(UID))])
    with pytest.raises(ConfigurationError, match="restore MEMLOG_KEYS"):
        async with open_context("test", settings(), asyncio.Event()):
            pass


# -- checkpoints -------------------------------------------------------------------------------------------------


async def test_a_checkpoint_of_this_log_is_trusted(log: Log) -> None:
    await log.events.append([new_event(subjects.user(UID))])
    message = await log.events.message_at(events(0).name, 2)
    assert message is not None
    await check_checkpoint(
        log.events, events(0).name, Checkpoint(Position(0, 2), "x", message_hash(message.data)), "me"
    )
    await check_checkpoint(log.events, events(0).name, None, "me")


@pytest.mark.guarantee("G11")
async def test_the_writer_does_not_start_on_a_log_shorter_than_what_a_projection_has_seen(
    log: Log,
) -> None:
    async def answer(message: Msg) -> None:
        said = Announcement(projection="index", shard=0, sequence=50, event_id="e", sha256="00")
        await message.respond(said.model_dump_json().encode())

    subscription = await subscribe(log.client, position_request_subject("index", 0), answer)
    with pytest.raises(LogNotTrusted, match="index has applied up to 50"):
        await check_against_projections(log.client, log.events, 0, ("index",), 2.0)
    await subscription.unsubscribe()


async def test_a_projection_that_is_down_cannot_be_asked_and_holds_nobody_up(log: Log) -> None:
    await asyncio.wait_for(check_against_projections(log.client, log.events, 0, ("index", "read-models"), 600), 60)


# -- settings ----------------------------------------------------------------------------------------------------


def test_each_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMLOG_PORT", "99999")
    monkeypatch.setenv("MEMLOG_SHARDS", "none")
    with pytest.raises(ConfigurationError, match=r"MEMLOG_SHARDS.*MEMLOG_PORT|MEMLOG_PORT.*MEMLOG_SHARDS"):
        load_settings()


def test_settings_come_from_the_environment_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMLOG_NATS_PASSWORD", "hunter2")
    monkeypatch.setenv("MEMLOG_SHARDS", "8")
    settings = load_settings(port=1234)
    assert (settings.shards, settings.port) == (8, 1234)
    assert "hunter2" not in repr(settings)

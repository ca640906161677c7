"""What every service does: an ordered, bounded stop, errors that come out, and health that is said."""

import asyncio
import sys
from collections.abc import Callable

import pytest
from contracts.api import ServiceHealth
from contracts.errors import ConfigurationError, Unavailable
from runtime.health import answer_health, ask_health, projections_health
from runtime.projection import ProjectionStatus
from runtime.service import STOP_TIMEOUT, open_context, run_until_stopped
from runtime.settings import Settings
from runtime.tasks import end
from support.leftovers import no_task_beyond, tasks_by_kind
from support.servers import Log, Servers, eventually

MakeSettings = Callable[..., Settings]


async def _forever() -> None:
    await asyncio.Event().wait()


async def test_work_runs_until_it_is_stopped() -> None:
    stop, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await _forever()
        finally:
            ended.set()

    service = asyncio.ensure_future(run_until_stopped(stop, work(), work()))
    await asyncio.sleep(0)
    assert not service.done()
    stop.set()
    await asyncio.wait_for(service, 60)
    assert ended.is_set()


async def test_work_that_fails_stops_the_service_with_its_error() -> None:
    cancelled = asyncio.Event()

    async def failing() -> None:
        await asyncio.sleep(0)
        raise Unavailable("no more")

    async def other() -> None:
        try:
            await _forever()
        finally:
            cancelled.set()

    with pytest.raises(Unavailable, match="no more"):
        await asyncio.wait_for(run_until_stopped(asyncio.Event(), other(), failing()), 60)
    assert cancelled.is_set()


async def test_work_that_ends_by_itself_is_a_failure() -> None:
    async def short() -> None:
        return

    with pytest.raises(RuntimeError, match="nobody stopped it"):
        await asyncio.wait_for(run_until_stopped(asyncio.Event(), _forever(), short()), 60)


async def test_work_that_does_not_stop_is_cut_off_in_time() -> None:
    stop, release = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    service = asyncio.ensure_future(run_until_stopped(stop, stubborn()))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(service, 60)
    assert STOP_TIMEOUT < 5
    release.set()


async def test_a_cancellation_that_was_swallowed_once_is_repeated() -> None:
    """As asyncio.wait_for of Python 3.11 does when it meets the answer."""
    swallowed = 0

    async def swallowing() -> None:
        nonlocal swallowed
        while True:
            try:
                await _forever()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 1:
                    raise

    task = asyncio.ensure_future(swallowing())
    await asyncio.sleep(0)
    assert await end(task, within=60)
    assert (task.cancelled(), swallowed) == (True, 2)


async def test_a_context_is_opened_checked_and_closed(log: Log, settings: MakeSettings) -> None:
    async with open_context("test", settings(), asyncio.Event()) as context:
        assert context.client.is_connected
        assert [identity.shard for identity in context.log] == [0]
        assert not context.ready.is_set()
        client = context.client
    assert client.is_closed
    assert log.client.is_connected


async def test_a_connection_that_the_server_ends_for_good_ends_the_service(log: Log, settings: MakeSettings) -> None:
    stop = asyncio.Event()
    with pytest.raises(Unavailable, match="closed the connection"):
        async with open_context("test", settings(), stop) as context:
            await context.client._send_command(b"NONSENSE\r\n")  # pyright: ignore[reportPrivateUsage]
            async with asyncio.timeout(30):
                await stop.wait()


async def test_a_context_needs_a_master_key(settings: MakeSettings) -> None:
    with pytest.raises(ConfigurationError, match="MEMLOG_MASTER_KEY_FILE"):
        async with open_context("test", settings(master_key_file=None), asyncio.Event()):
            pass


async def test_a_context_that_fails_leaves_no_task_behind(log: Log, settings: MakeSettings) -> None:
    before = tasks_by_kind()
    with pytest.raises(ConfigurationError):
        async with open_context("test", settings(shards=2), asyncio.Event()):
            pass
    await eventually(lambda: no_task_beyond(before))


# -- as processes ------------------------------------------------------------------------------------------------


async def _service(servers: Servers, *arguments: str) -> asyncio.subprocess.Process:
    settings = servers.settings()
    environment = {
        "MEMLOG_NATS_URL": settings.nats_url,
        "MEMLOG_NATS_MONITOR_URL": settings.nats_monitor_url or "",
        "MEMLOG_MASTER_KEY_FILE": str(servers.home.master_key),
        "PYTHONPATH": ":".join(sys.path),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memory_writer", *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )


async def test_a_service_process_stops_in_order_and_nothing_of_it_is_cut_off(servers: Servers) -> None:
    process = await _service(servers)
    assert process.stderr is not None
    lines: list[bytes] = []
    async with asyncio.timeout(60):
        async for line in process.stderr:
            lines.append(line)
            if b"lease_acquired" in line:
                break
    process.terminate()
    async with asyncio.timeout(60):
        lines.append(await process.stderr.read())
        assert await process.wait() == 0
    assert b"service_stopped" in lines[-1]
    assert not any(word in b"".join(lines) for word in (b"Traceback", b"work_cut_off"))


async def test_a_service_process_that_cannot_start_says_why_in_one_line(servers: Servers) -> None:
    servers.home.master_key.chmod(0o644)
    process = await _service(servers)
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode not in (0, None)
    assert errors.startswith(b"memory-writer: the master key ")
    assert errors.count(b"\n") == 1


# -- health ------------------------------------------------------------------------------------------------------


async def test_health_is_asked_and_answered(log: Log) -> None:
    asked = 0

    def describe() -> ServiceHealth:
        nonlocal asked
        asked += 1
        return ServiceHealth(service="audit", ok=False, detail="full disk", facts={"n": asked})

    await answer_health(log.client, "audit", describe)
    assert await ask_health(log.client, "audit") == ServiceHealth(
        service="audit", ok=False, detail="full disk", facts={"n": 1}
    )
    assert (await ask_health(log.client, "audit")).facts == {"n": 2}


@pytest.mark.guarantee("G13")
async def test_silence_is_not_health(log: Log) -> None:
    health = await ask_health(log.client, "nobody", timeout=0.3)
    assert not health.ok
    assert "nobody does not answer" in (health.detail or "")


@pytest.mark.guarantee("G13")
def test_a_failing_projection_is_named() -> None:
    fine, failing = ProjectionStatus("read-models", 0), ProjectionStatus("access-log", 1, failure="Unavailable: disk")
    health = projections_health("audit", [fine, failing], {"generation": 3})
    assert not health.ok
    assert health.detail == "access-log.1: Unavailable: disk"
    assert health.facts["generation"] == 3
    assert projections_health("audit", [fine]).ok

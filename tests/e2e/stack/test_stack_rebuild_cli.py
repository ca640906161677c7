"""`memlog rebuild` and `memlog projections` as a person types them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from typing import Any

import pytest
from runtime.postgres import create_pool
from support.inside import Inside
from support.rebuilds import blocked
from support.stack import eventually

NAME = "access-log"


async def started(memlog: Inside, *arguments: str, stderr: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
    environment = {**inherited, "COLUMNS": "80", "TERM": "xterm", "MEMLOG_HOME": "/nonexistent"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "standalone", *arguments,
        env=environment | {"MEMLOG_URL": memlog.url}, stdout=asyncio.subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(60):
        out, said = await process.communicate()
    said = said or b""  # nothing, where a terminal has it
    assert b"Traceback" not in said
    return process.returncode, out.decode(), said.decode()


async def run(memlog: Inside, *arguments: str) -> tuple[int | None, str, str]:
    return await ended(await started(memlog, *arguments))


class Terminal:
    """One that a command says its errors and its progress to."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        os.set_blocking(self._ours, False)
        self.said = b""

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)

    async def shows(self, words: bytes) -> None:
        """Until these words were said."""

        async def there() -> bool:
            with contextlib.suppress(BlockingIOError):
                self.said += os.read(self._ours, 65_536)
            return words in self.said

        try:
            await eventually(there)
        except TimeoutError:
            pytest.fail(f"it says only {self.said}")


async def shown(memlog: Inside) -> dict[str, Any]:
    return (await memlog.http.get(f"/api/v1/projections/{NAME}")).raise_for_status().json()


def numbers(view: dict[str, Any]) -> list[int]:
    return [each["number"] for each in view["generations"]]


def serving(view: dict[str, Any]) -> int:
    return next(each["number"] for each in view["generations"] if each["state"] == "serving")


@pytest.mark.guarantee("G5")
async def test_a_person_rebuilds_switches_and_goes_back(memlog: Inside) -> None:
    user = f"cli-{uuid.uuid4()}"
    assert (await memlog.http.post("/api/v1/memories/", json={"user_id": user, "text": "Likes tea"})).is_success
    assert (await memlog.http.get("/api/v1/memories/", params={"user_id": user})).is_success
    before = serving(await shown(memlog))
    status, out, said = await run(memlog, "rebuild", NAME)
    assert (status, said) == (0, "")
    assert f"generation {before + 1} serves now" in out
    status, out, _ = await run(memlog, "projections", "rollback", NAME)
    assert (status, serving(await shown(memlog))) == (0, before)
    status, out, _ = await run(memlog, "rebuild", NAME, "--hold")
    assert status == 0 and "follows. Switch: memlog projections switch" in out
    status, out, _ = await run(memlog, "projections", "--state-hash")
    assert status == 0 and "following" in out and len(out.split("state ")[1].split()[0]) == 64
    assert max(len(line) for line in out.splitlines()) <= 80
    status, out, _ = await run(memlog, "projections", "switch", NAME, "--json")
    assert (status, serving(json.loads(out))) == (0, before + 2)
    status, _, said = await run(memlog, "projections", "drop", NAME, str(before + 2))
    assert status == 1 and "serving" in said


async def test_ctrl_c_leaves_the_rebuild_running_and_it_can_be_halted_and_given_up(memlog: Inside) -> None:
    before = max(numbers(await shown(memlog)))
    pool = await create_pool(memlog.settings.postgres_dsn.get_secret_value(), application_name="test", size=2)
    terminal = Terminal()
    # From scratch: it does not matter what was left behind by whoever was here before.
    watching = await started(memlog, "rebuild", NAME, "--from-scratch", stderr=terminal.theirs)

    async def begun() -> int | None:
        newest = max(numbers(await shown(memlog)))
        return newest if newest > before else None

    try:
        number = await eventually(begun)
        async with blocked(pool, f"access_log_g{number}.reads"):
            await terminal.shows(b"Filling")  # that it has begun is known here before the command knows it
            watching.send_signal(signal.SIGINT)
            await terminal.shows(b"the rebuild goes on")
            status, _, _ = await ended(watching)
            assert status == 1 and b"Traceback" not in terminal.said
            status, _, said = await run(memlog, "rebuild", NAME)
            assert status == 1 and "is being filled already" in said
            status, out, said = await run(memlog, "projections", "pause", NAME)
            assert status == 0 and "paused" in out, said
    finally:
        terminal.close()
        pool.terminate()
    assert (await run(memlog, "projections", "cancel", NAME))[0] == 0
    assert number not in numbers(await shown(memlog))

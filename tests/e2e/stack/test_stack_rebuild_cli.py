"""`memlog rebuild` and `memlog projections` as a person types them."""

import asyncio
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


async def started(memlog: Inside, *arguments: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
    environment = {**inherited, "COLUMNS": "80", "MEMLOG_HOME": "/nonexistent", "MEMLOG_URL": memlog.url}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "standalone", *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(60):
        out, said = await process.communicate()
    assert b"Traceback" not in said
    return process.returncode, out.decode(), said.decode()


async def run(memlog: Inside, *arguments: str) -> tuple[int | None, str, str]:
    return await ended(await started(memlog, *arguments))


async def shown(memlog: Inside) -> dict[str, Any]:
    return (await memlog.http.get(f"/api/v1/projections/{NAME}")).raise_for_status().json()


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
    before = serving(await shown(memlog))
    pool = await create_pool(memlog.settings.postgres_dsn.get_secret_value(), application_name="test", size=2)
    watching = await started(memlog, "rebuild", NAME)

    async def begun() -> int | None:
        numbers = [each["number"] for each in (await shown(memlog))["generations"]]
        return max(numbers) if max(numbers) > before else None

    try:
        number = await eventually(begun)
        async with blocked(pool, f"access_log_g{number}.reads"):
            watching.send_signal(signal.SIGINT)
            status, _, said = await ended(watching)
            assert status == 1 and "the rebuild goes on" in said
            status, _, said = await run(memlog, "rebuild", NAME)
            assert status == 1 and "is being filled already" in said
            status, out, said = await run(memlog, "projections", "pause", NAME)
            assert status == 0 and "paused" in out, said
    finally:
        pool.terminate()
    assert (await run(memlog, "projections", "cancel", NAME))[0] == 0
    assert [each["state"] for each in (await shown(memlog))["generations"] if each["number"] == number] == []

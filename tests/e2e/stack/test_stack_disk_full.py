"""A full disk: nothing is called stored that is not, refusals say why, and with some space all goes on by itself."""

import asyncio
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from support.command_line import memlog
from support.stack import eventually, running_stack

_SIZE_MB = 400


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of its own. Only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE_MB}m,mode=755", "tmpfs", str(disk)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if made.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the space that is left."""
    ballast = disk / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    os.write(descriptor, bytes(size))
            except OSError:
                continue
    finally:
        os.close(descriptor)
    return ballast


async def add(http: httpx.AsyncClient, number: int) -> tuple[str, httpx.Response]:
    text = f"Note {number} about a full disk"
    wait = ("searchable", "stored", "accepted")[number % 3]
    body = {"user_id": "ada", "text": text, "wait": wait, "app": "t"}
    return text, await http.post("/api/v1/memories/", json=body)


async def texts(http: httpx.AsyncClient) -> list[str]:
    answer = await http.get("/api/v1/memories/", params={"user_id": "ada", "size": 100})
    return [item["content"] for item in answer.raise_for_status().json()["items"]]


@pytest.mark.guarantee("G1", "G12")
async def test_a_full_disk_loses_nothing_says_why_and_is_recovered_from_without_help(small_disk: Path) -> None:
    async with running_stack(small_disk / "home") as stack, stack.http() as http:
        acknowledged = [text for text, _ in [await add(http, number) for number in range(3)]]
        ballast = fill(small_disk)
        answers = await asyncio.gather(*(add(http, number) for number in range(3, 12)))
        refused = [answer for _, answer in answers if answer.status_code not in (200, 202)]
        acknowledged += [text for text, answer in answers if answer.status_code in (200, 202)]
        assert refused, "the disk was not full"
        for answer in [*refused, await http.get("/api/v1/memories/", params={"user_id": "ada"})]:
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert "no space left on device" in answer.json()["detail"]
        health = (await http.get("/api/v1/health")).json()
        [nats] = [each for each in health["services"] if each["service"] == "nats"]
        assert not nats["ok"] and "no space left on device" in nats["detail"]

        ballast.unlink()

        async def stored() -> bool:
            text, answer = await add(http, 12)
            if answer.status_code == 200:
                acknowledged.append(text)
            return answer.status_code == 200

        await eventually(stored, timeout=60)
        await eventually(lambda: ready(http), timeout=60)
        found = await texts(http)
        assert set(acknowledged) <= set(found)
        assert len(found) == len(set(found)), "a memory is there twice"
        status, out, _ = await memlog(stack.home, "verify", "--quick")
        assert status == 0, out


async def ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 200

"""One operation over 20,000 memories: it shows how far it is, delays nobody, and survives kill -9 of everything."""

import asyncio
import contextlib
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.many_memories import add_many
from support.stack import Stack, call, eventually, running_stack

MEMORIES = 20_000
TEXTS = 500
"""That are different: to embed is not what this is about."""


async def total(http: httpx.AsyncClient, who: str) -> int:
    answer = await http.get("/api/v1/memories", params={"user_id": who, "size": 1})
    return answer.json()["total"] if answer.status_code == 200 else -1


async def caught_up(http: httpx.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 200


async def adding(stack: Stack, found: list[bool]) -> None:
    """Somebody else remembers one thing after the other: whether it could be found when the answer came."""
    async with stack.http() as http:
        while True:
            body = {"user_id": "other", "text": f"note {uuid.uuid4()}"}
            answer = await http.post("/api/v1/memories", json=body)
            assert answer.status_code in (200, 202), answer.text
            found.append(answer.status_code == 200)


async def operation(http: httpx.AsyncClient, operation_id: str) -> dict[str, Any]:
    answer = await http.get(f"/api/v1/operations/{operation_id}", params={"user_id": "big"})
    return answer.json() if answer.status_code == 200 else {"status": "unavailable"}


@pytest.mark.guarantee("G1", "G12")
async def test_deleting_20000_memories_shows_progress_delays_nobody_and_survives_kill_9_of_everything(
    tmp_path: Path,
) -> None:
    async with running_stack(tmp_path / "home", MEMLOG_WAIT_TIMEOUT="3", MEMLOG_EMBED_THREADS="2") as stack:
        async with stack.http() as http:
            await http.post("/api/v1/memories", json={"user_id": "big", "text": "the first", "app": "notes"})
        await stack.stop()
        await add_many(stack.home, "big", "notes", [f"note {number % TEXTS}" for number in range(MEMORIES)])
        await stack.start(within=300)
        async with stack.http() as http:
            await eventually(lambda: caught_up(http), 300)
            assert await total(http, "big") == MEMORIES + 1
            await http.post("/api/v1/memories", json={"user_id": "other", "text": "before"})

            found: list[bool] = []
            others = asyncio.create_task(adding(stack, found))
            async with stack.mcp(path="/mcp/notes/http/big") as client:
                answer = await call(client, "delete_all_memories")
            assert (answer["state"], answer["deleted"]) == ("accepted", 0)
            operation_id = answer["operation_id"]

            seen: list[int] = []

            async def half() -> bool:
                now = await operation(http, operation_id)
                assert now["status"] == "accepted", "it ended before it could be killed"
                if now["progress"] is not None:
                    assert now["progress"]["total"] == MEMORIES + 1
                    seen.append(now["progress"]["done"])
                return bool(seen) and seen[-1] >= MEMORIES / 3

            await eventually(half, 120)
            assert len(set(seen)) > 2 and seen == sorted(seen), seen
            assert not others.done()
            others.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await others
        # Who had to wait for the delete would have been found never, or once.
        assert found.count(True) > 5, found
        await stack.kill()
        await stack.start()
        async with stack.http() as http:

            async def settled() -> dict[str, Any] | None:
                found = await operation(http, operation_id)
                return found if found["status"] not in ("accepted", "unavailable") else None

            ended = await eventually(settled, 180)
            assert (ended["status"], ended["counts"]) == ("done", {"DELETE": MEMORIES + 1})
            assert await total(http, "big") == 0
            await eventually(lambda: caught_up(http), 180)
            answer = await http.get("/api/v1/search", params={"user_id": "big", "query": "note 77"})
            assert answer.json()["results"] == []
            assert await total(http, "other") >= len(found) + 1

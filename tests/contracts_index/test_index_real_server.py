"""A real Qdrant server goes away and comes back, and one of two indexers that use it dies."""

import asyncio
import os
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from contracts.errors import Unavailable
from contracts_index.adapters import SERVER_URL, Place, at, connect_server, found, put, revise, server_alias
from contracts_index.door import door_to
from indexer.index import Change, SearchFilter, SetState
from support.fleet import Fleet, running_fleet
from support.stack import eventually

pytestmark = pytest.mark.skipif(not SERVER_URL, reason="MEMLOG_QDRANT_URL names no server")


def history(rounds: int) -> list[Change]:
    log: list[Change] = []
    for first in range(1, 4 * rounds, 4):
        log += [put(f"m{first}", first, "one", "two"), put(f"p{first}", first + 1)]
        log += [revise(f"m{first}", first + 2, "three", version=2), SetState(f"p{first}", "paused", 2000, first + 3)]
    return log


@pytest.mark.skipif(SERVER_URL.startswith("https"), reason="MEMLOG_QDRANT_URL names a server with TLS")
async def test_writes_that_break_off_anywhere_are_made_up_for_when_the_server_is_back(tmp_path: Path) -> None:
    log = history(rounds=12)
    async with door_to(SERVER_URL) as door:
        place = Place(connect_server(door.url), server_alias(tmp_path), None)
        index = await place.open()
        await index.claim(0, 1)
        broken, done = 0, 0
        while done < len(log):
            try:
                checkpoint = await index.checkpoint(0)
                done = checkpoint.position.sequence if checkpoint else 0
                door.patience = 1 + broken % 9
                while done < len(log):
                    batch = log[done : done + 3]
                    await index.apply(batch, at(batch[-1].sequence))
                    done = batch[-1].sequence
                    door.patience = door.patience or 1 + broken % 9
            except Unavailable:
                assert index.failure is not None
                broken += 1
                await door.open()
        door.patience = None
        assert broken >= 9
        assert await found(index) == {f"m{n}": 2 for n in range(1, 48, 4)}
        assert await found(index, SearchFilter("ann", states=("paused",))) == {f"p{n}": 1 for n in range(1, 48, 4)}
        assert index.failure is None
        await place.client.close()


def owner(fleet: Fleet, logs: Path) -> str | None:
    """The indexer that has taken the lease and lives."""
    for name, process in fleet.instances.items():
        taken = '"lease_acquired"' in (logs / f"{name}.log").read_text()
        if name.startswith("indexer") and process.returncode is None and taken:
            return name
    return None


async def test_the_other_indexer_takes_over(tmp_path: Path) -> None:
    qdrant: dict[str, Any] = {n: value for n, value in os.environ.items() if n.startswith("MEMLOG_QDRANT_")}
    qdrant["MEMLOG_QDRANT_COLLECTION"] = server_alias(tmp_path)
    texts: list[str] = []
    async with running_fleet(tmp_path, {"indexer": 2}, **qdrant) as fleet:

        async def remember(http: httpx.AsyncClient) -> None:
            texts.append(f"fact {uuid.uuid4().hex}")
            body = {"user_id": "ann", "text": texts[-1]}
            (await http.post("/api/v1/memories", json=body)).raise_for_status()

        async def is_found(text: str) -> bool:
            where = {"user_id": "ann", "query": text, "limit": 1}
            answer = await http.get("/api/v1/search", params=where)
            return answer.status_code == 200 and [hit["memory"] for hit in answer.json()["results"]] == [text]

        async with httpx.AsyncClient(base_url=fleet.url(), timeout=60.0) as http:
            await remember(http)
            first = owner(fleet, tmp_path / "service-logs")
            assert first is not None
            writing = [asyncio.ensure_future(remember(http)) for _ in range(20)]
            fleet.process(first).kill()

            async def taken_over() -> bool:
                return owner(fleet, tmp_path / "service-logs") not in (None, first)

            await eventually(taken_over)
            await asyncio.gather(*writing)
            for text in texts:
                await eventually(lambda text=text: is_found(text))

"""Clients that write and read through all gateways while things break, and remember what they were promised."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from contracts.codec import read_envelope
from contracts.streams import events
from contracts.subjects import ROOT
from support.fleet import Fleet
from support.servers import Log
from support.stack import eventually

_PAUSE_S, _BETWEEN_S = 0.1, 0.3
_PATIENCE_S = 60.0


@dataclass(slots=True)
class Load:
    """One writer for each user. `acknowledged`: what each user's memories have to say, by id; `writes` counts, by user,
    what was acknowledged; `again`, why requests were sent once more."""

    fleet: Fleet
    users: list[str]
    acknowledged: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    writes: Counter[str] = field(default_factory=Counter[str])
    again: Counter[str] = field(default_factory=Counter[str])
    writers: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    _turn: int = 0

    async def progress(self, more: int = 2) -> None:
        """Until each user has written so much more."""
        before = self.writes.copy()

        async def went_on() -> bool:
            for writer in self.writers:
                if writer.done():
                    writer.result()
            return all(self.writes[user] >= before[user] + more for user in self.users)

        await eventually(went_on, timeout=_PATIENCE_S)

    async def write(self, user: str, stopping: asyncio.Event) -> None:
        """Add, revise and read until told to stop; what is promised through one gateway is seen through the next."""
        known = self.acknowledged.setdefault(user, {})
        while not stopping.is_set():
            await asyncio.sleep(_BETWEEN_S)
            text = f"note {uuid.uuid4()}"
            body = {"user_id": user, "text": text, "idempotency_key": str(uuid.uuid4())}
            said, searchable = await self._added(body)
            memory_id = said["id"]
            known[memory_id] = text
            self.writes[user] += 1
            if self.writes[user] % 3 == 0:
                text = f"other {uuid.uuid4()}"
                path = f"/api/v1/memories/{memory_id}"
                # It says what the text is to be, so it may be said twice.
                answer = await self._request("PUT", path, json={"user_id": user, "memory_content": text})
                known[memory_id] = text
                searchable = answer.json().get("state", "searchable") == "searchable"
            if not searchable:  # as it was told
                continue
            found = await self._request("GET", "/api/v1/search", params={"user_id": user, "query": text, "limit": 1})
            hits = [hit["memory"] for hit in found.json()["results"]]
            assert hits == [text], f"a write that was searchable is not found: {hits} for {text}"

    async def _added(self, body: dict[str, str]) -> tuple[dict[str, Any], bool]:
        """The memory, and whether reads are said to see it. What is durable and not done in time is asked for again:
        the same key finds out how it ended."""

        async def done() -> tuple[dict[str, Any], bool] | None:
            answer = (await self._request("POST", "/api/v1/memories/", json=body)).json()
            if "id" in answer:
                return answer, True
            return (answer["results"][0], False) if answer["results"] else None

        return await eventually(done, timeout=_PATIENCE_S)

    async def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """By one gateway after the other, until one of them does it. Only what a retry can heal may fail."""
        began = time.monotonic()
        while True:
            self._turn += 1
            url = self.fleet.url(self._turn % len(self.fleet.ports))
            try:
                async with httpx.AsyncClient(base_url=url, timeout=30.0) as http:
                    answer = await http.request(method, path, **more)
                if answer.status_code in (200, 202):
                    return answer
                assert answer.status_code == 503, f"{method} {path}: {answer.status_code} {answer.text}"
                self.again[f"{answer.status_code} {answer.json().get('code')}"] += 1
            except httpx.TransportError as error:
                self.again[type(error).__name__] += 1
            assert time.monotonic() - began < _PATIENCE_S, f"{method} {path}: nothing but {dict(self.again)}"
            await asyncio.sleep(_PAUSE_S)

    async def check(self) -> None:
        """Every gateway shows all that was acknowledged, as it was said last, and nothing beside."""
        for user in self.users:
            for gateway in range(len(self.fleet.ports)):
                assert await self._shown(gateway, user) == self.acknowledged[user]

    async def _shown(self, gateway: int, user: str) -> dict[str, str]:
        shown: dict[str, str] = {}
        async with httpx.AsyncClient(base_url=self.fleet.url(gateway), timeout=30.0) as http:
            page, pages = 1, 1
            while page <= pages:
                params = {"user_id": user, "page": page, "size": 100}
                answer = (await http.get("/api/v1/memories/", params=params)).raise_for_status().json()
                for item in answer["items"]:
                    assert item["id"] not in shown, "listed twice"
                    shown[item["id"]] = item["content"]
                page, pages = page + 1, answer["pages"]
        return shown


@asynccontextmanager
async def load(fleet: Fleet, name: str, users: int = 5) -> AsyncGenerator[Load]:
    """Writes for the length of the block; what a writer asserted fails the test, at the latest at the end."""
    running = Load(fleet, [f"{name}-{number}" for number in range(users)])
    stopping = asyncio.Event()
    running.writers = [asyncio.ensure_future(running.write(user, stopping)) for user in running.users]
    try:
        yield running
    finally:
        stopping.set()
        await asyncio.wait(running.writers)
    await asyncio.gather(*running.writers)


async def require_each_event_once(log: Log) -> None:
    """In the log itself: no event stands there twice, each memory was added once, and no command had two effects on
    one memory."""
    for shard in range(log.shards):
        stored = await log.events.read_subject(events(shard).name, f"{ROOT}.evt.{shard}.>")
        told = [(read_envelope(message.data), message.subject) for message in stored]
        ids = Counter(meta.id for (meta, *_), _ in told)
        assert [each for each, count in ids.items() if count > 1] == []
        effects = Counter((meta.causation_id, subject) for (meta, *_), subject in told)
        assert [each for each, count in effects.items() if count > 1] == []
        added = Counter(subject for (_, kind, *_), subject in told if kind == "MemoryAdded")
        assert [each for each, count in added.items() if count > 1] == []
        assert [message.sequence for message in stored] == [*range(1, len(stored) + 1)]

"""A whole Memlog in the test's own process, for tests that reach behind its doors: its servers, its log, its tables."""

import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from contracts import subjects
from runtime.settings import Settings
from standalone.embedded import embedded
from standalone.home import Home
from support.servers import Log, opened


@dataclass(frozen=True, slots=True)
class Inside:
    """`http` is REST; `log` is the log itself, over a connection of the test's own."""

    url: str
    settings: Settings
    http: httpx.AsyncClient
    log: Log

    async def sql(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        """Run a statement as the role that owns the tables."""
        connection = await asyncpg.connect(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            self.settings.postgres_dsn.get_secret_value()
        )
        try:
            rows = await connection.fetch(statement, *arguments)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return [tuple(row.values()) for row in rows]  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportUnknownVariableType]
        finally:
            await connection.close()  # pyright: ignore[reportUnknownMemberType]

    async def uid(self, user: str) -> str:
        """The opaque id of a user that has been here."""
        answer = await self.http.get("/api/v1/events", params={"user_id": user, "type": "UserRegistered"})
        return answer.json()["events"][0]["aggregate"]["id"]

    def shard(self, uid: str) -> int:
        return subjects.shard_of(uid, self.log.shards)


@asynccontextmanager
async def inside(**given: Any) -> AsyncGenerator[Inside]:
    """Runs until the block ends, on a home of its own. `given` are settings; where they turn authentication on, `http`
    is the operator's."""
    folder = Path(tempfile.mkdtemp(prefix="memlog-"))
    try:
        with Home.open(folder / "home") as home:
            async with (
                embedded(home, Settings(port=0, **given)) as running,
                opened(running.settings, start=False) as log,
                httpx.AsyncClient(base_url=running.url, timeout=60, headers=_operator(running.settings)) as http,
            ):
                yield Inside(running.url, running.settings, http, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _operator(settings: Settings) -> dict[str, str]:
    path = settings.admin_token_file
    return {"Authorization": f"Bearer {path.read_text().strip()}"} if path else {}

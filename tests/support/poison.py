"""Events that a projection cannot apply, and what was given up on."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from support.inside import Inside

DEAD = "/api/v1/dead-letters"


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def add(memlog: Inside, who: str, text: str) -> dict[str, Any]:
    answer = await memlog.http.post("/api/v1/memories", json={"user_id": who, "text": text})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def letters(memlog: Inside) -> list[dict[str, Any]]:
    return (await memlog.http.get(DEAD)).raise_for_status().json()["dead_letters"]


@asynccontextmanager
async def refused_by_postgresql(memlog: Inside, table: str, condition: str) -> AsyncGenerator[None]:
    """While the block runs, PostgreSQL refuses rows of the table that serves for which the condition does not hold."""
    [(serves,)] = await memlog.sql(
        """SELECT table_schema || '.' || table_name FROM information_schema.view_table_usage
           WHERE view_schema = 'memlog' AND view_name = $1""",
        table,
    )
    await memlog.sql(f"ALTER TABLE {serves} ADD CONSTRAINT planted CHECK ({condition}) NOT VALID")
    try:
        yield
    finally:
        await memlog.sql(f"ALTER TABLE {serves} DROP CONSTRAINT planted")

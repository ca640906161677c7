"""Operations: what became of a command, read from the read model that audit projects."""

from typing import Any

from contracts.api import Item, Outcome, Progress
from contracts.subjects import progress_subject
from nats.aio.client import Client
from runtime.errors import NATS_FAILURES
from runtime.postgres import Pool, Row, postgres_errors

_PROGRESS_S = 0.5

_OPERATION = """
    SELECT command_id, type, status, code, reason, results, counts, position, occurred_at, settled_at,
        app_id
    FROM memlog.operations WHERE uid = $1 AND command_id = $2
"""
_TEXTS = """
    SELECT memory_id, version, text, current FROM memlog.memory_texts
    WHERE uid = $1 AND memory_id = ANY($2) ORDER BY memory_id, version
"""


class Operations:
    """Reads operations. All methods raise `Unavailable` when PostgreSQL is down."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, uid: str, command_id: str) -> Row | None:
        """The operation's row, or None while it is not settled (or unknown)."""
        with postgres_errors():
            return await self._pool.fetchrow(_OPERATION, uid, command_id)

    async def items(self, uid: str, row: Row, *, texts: bool) -> list[Item]:
        """What the operation did; with `texts`, of few memories, with what they say now."""
        results: list[dict[str, Any]] = row["results"]
        said: dict[str, str] = {}
        if texts and 0 < len(results) <= 20:
            with postgres_errors():
                rows = await self._pool.fetch(_TEXTS, uid, [r["id"] for r in results])
            said = {found["memory_id"]: found["text"] for found in rows if found["current"]}
        return [Item(id=r["id"], memory=said.get(r["id"]), event=r["event"]) for r in results]

    async def outcome(self, uid: str, command_id: str) -> Outcome | None:
        """How a command ended, or None while the read models do not say."""
        row = await self.find(uid, command_id)
        if row is None:
            return None
        return Outcome(
            command_id=command_id,
            status=row["status"],
            code=row["code"],
            reason=row["reason"],
            results=[Item(id=r["id"], event=r["event"]) for r in row["results"]],
            counts=row["counts"],
            position=row["position"],
        )


async def ask_progress(client: Client, command_id: str) -> Progress | None:
    """How far the writer is with a large command; None when it is not at it, or does not answer at once."""
    try:
        reply = await client.request(progress_subject(command_id), b"", timeout=_PROGRESS_S)
    except NATS_FAILURES:
        return None
    return Progress.model_validate_json(reply.data)

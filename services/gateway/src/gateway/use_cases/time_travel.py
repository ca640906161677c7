"""The past: what `as_of` means, and the read models' queries over memories as they were then (guarantee G14).

A moment of the past is a sequence of the user's shard: a memory was what its last change up to there made of it.
Whether an app may see it is decided as of now: by its rules, by the memory's categories, and by whether it is hidden.
"""

import re
from datetime import UTC, datetime, timedelta

from contracts.api import SearchRequest
from contracts.categories import category_keys
from contracts.errors import InvalidInput
from contracts.positions import Position
from contracts.streams import READ_MODELS
from contracts.subjects import shard_of
from runtime.clock import utc_now
from runtime.postgres import Pool, postgres_errors

from gateway.asking import OWNER_APP
from gateway.use_cases import sql
from gateway.use_cases.freshness import Freshness

_SHOWN = timedelta(milliseconds=1)
"""How exactly times are shown: as of the time that is shown of a change, it has been made."""
_EPOCH = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_POSITION = re.compile(r"[0-9]+-[0-9]+")

_MOMENT = """
    SELECT coalesce(
        (SELECT h.sequence - 1 FROM memlog.history AS h WHERE h.uid = $1 AND h.recorded_at >= $2
          ORDER BY h.sequence LIMIT 1),
        (SELECT max(h.sequence) FROM memlog.history AS h WHERE h.uid = $1), 0)
"""
"""The log's clock may step back, so the first change recorded after the time ends the past, not the last one before it:
what was recorded later never shows in it."""

_NOW = "memlog.memories AS m"
_THEN = """(
    SELECT now.uid, now.memory_id, now.app_id, now.created_at, h.state, h.version, h.updated_at,
           h.all_categories AS categories, h.category_keys AS keys_then, {keys} AS category_keys
    FROM memlog.memories AS now CROSS JOIN LATERAL (
        SELECT c.state, c.version, c.updated_at, c.all_categories, c.category_keys FROM memlog.history AS c
        WHERE c.uid = now.uid AND c.memory_id = now.memory_id AND c.sequence <= {sequence}
        ORDER BY c.sequence DESC LIMIT 1
    ) AS h {where}
) AS m"""
# Deleting a memory does not show what was hidden before.
_NOT_HIDDEN = """
    WHERE coalesce(nullif(now.state, 'deleted'), (
        SELECT c.state FROM memlog.history AS c
        WHERE c.uid = now.uid AND c.memory_id = now.memory_id AND c.state <> 'deleted'
        ORDER BY c.sequence DESC LIMIT 1)) = 'active'
"""


_TEXTS = f"""
    SELECT m.version, array_agg(m.memory_id ORDER BY m.memory_id) AS memory_ids FROM {_NOW}
    WHERE m.uid = $1 AND {sql.MAY_READ}
      AND ($3::text[] IS NULL OR m.app_id = ANY($3)) AND ($4::text[] IS NULL OR m.keys_then && $4)
    GROUP BY m.version
"""


def at(statement: str, sequence: int | None, app: str = OWNER_APP) -> str:
    """A query over `memlog.memories AS m`, as of a sequence of the user's shard; None: as of now. Its substring search
    looks at the texts of then.

    Unless it is the owner's own, the `app` sees nothing that is paused or archived now, or was when it was deleted, and
    `category_keys` are those of now, which its rules are about: those of then are `keys_then`.
    """
    if sequence is None:
        return statement
    keys, where = ("h.category_keys", "") if app == OWNER_APP else ("now.category_keys", _NOT_HIDDEN)
    # In the text, not as a parameter: which number that would have is the statement's affair.
    then = _THEN.format(keys=keys, where=where, sequence=int(sequence))
    return statement.replace(_NOW, then).replace("s.current", "true")


class TimeTravel:
    """Finds moments of the past in the log."""

    def __init__(self, pool: Pool, freshness: Freshness, shards: int) -> None:
        self._pool = pool
        self._freshness = freshness
        self._shards = shards

    async def sequence(self, uid: str, moment: str | None, said_in: str = "as_of") -> int | None:
        """The sequence of the user's shard that a time or position stands for; None for None, which is now. Raises
        `InvalidInput`, which names what it was `said_in`, for what is neither, and for a position that is not in this
        user's log, and `Unavailable`."""
        if moment is None:
            return None
        if _POSITION.fullmatch(moment):
            return await self._at(uid, Position.parse(moment), said_in)
        time = _time(moment, said_in)
        # Nothing was recorded after a time to come, whatever the log's clock says.
        end = None if time >= utc_now() else time + _SHOWN
        with postgres_errors():
            return await self._pool.fetchval(_MOMENT, uid, end)

    async def in_the_past(self, request: SearchRequest, app_id: str, app: str, sequence: int) -> SearchRequest:
        """The search among the texts that the app may read, and that were active then: what the request filters by is
        decided here, by what memories were. Raises `Unavailable`."""
        keys = None if request.categories is None else category_keys(request.categories)
        with postgres_errors():
            rows = await self._pool.fetch(at(_TEXTS, sequence, app), request.uid, app_id, request.app_ids, keys)
        return request.model_copy(
            update={
                "past": {row["version"]: row["memory_ids"] for row in rows},
                "min_sequence": sequence,
                **dict.fromkeys(("access", "app_ids", "categories")),
            }
        )

    async def _at(self, uid: str, position: Position, said_in: str) -> int:
        if position.shard != shard_of(uid, self._shards):
            raise InvalidInput(
                f"{said_in}: '{position}' is not a position in this user's log; pass one that Memlog returned"
            )
        await self._freshness.reached(position, (READ_MODELS,), said_in)
        return position.sequence


def _time(text: str, said_in: str) -> datetime:
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(float(text) * 1000) / 1000, UTC)
        time = datetime.fromisoformat(text)
        return time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=time.tzinfo or UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(
            f"{said_in}: '{text[:40]}' is neither a time (ISO 8601, such as 2026-11-01T12:00:00Z, or epoch seconds) "
            "nor a position that Memlog returned"
        ) from None

"""What was written and read over time, for charts."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from contracts.activity import Activity, AppActivity, Step
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import OWNER_APP, Caller
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities

# Of each app in turn, so that an index has it: `memories_by_app` in each state, `reads_by_app`. What the owner reads in
# the dashboard is left out: every look at a chart would be a part of it.
_ACTIVITY = f"""
    SELECT a.app_id, a.name, did.what, did.start, did.times FROM memlog.apps AS a CROSS JOIN LATERAL (
        SELECT 'added' AS what, date_trunc($2, m.created_at, 'UTC') AS start, count(*) AS times
        FROM memlog.memories AS m
        WHERE m.uid = $1 AND m.app_id = a.app_id AND m.state = ANY('{{active,paused,archived}}') AND m.created_at >= $3
        GROUP BY start
        UNION ALL
        SELECT 'reads', date_trunc($2, r.accessed_at, 'UTC') AS start, count(*)
        FROM memlog.reads AS r
        WHERE r.uid = $1 AND r.app_id = a.app_id AND r.accessed_at >= $3 AND a.name <> '{OWNER_APP}'
        GROUP BY start
    ) AS did WHERE a.uid = $1
"""


class Activities:
    """The part of `gateway.service.MemoryService` that counts by time. It holds no content, so it is no read."""

    def __init__(self, identities: Identities, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._pool = pool
        self._freshness = freshness

    async def activity(self, caller: Caller, step: Step, steps: int) -> Activity:
        """See `gateway.service.MemoryService`."""
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        starts = beginnings(datetime.now(UTC), step, steps)
        with postgres_errors():
            rows = await self._pool.fetch(_ACTIVITY, principal.uid, step, starts[0])
        return Activity(step=step, starts=[int(start.timestamp()) for start in starts], apps=_by_app(rows, starts))


def beginnings(now: datetime, step: Step, steps: int) -> list[datetime]:
    """When the last `steps` days, weeks (from Monday) or months begin, in UTC, oldest first; the last is that of
    `now`."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match step:
        case "day":
            return [today - timedelta(days=back) for back in reversed(range(steps))]
        case "week":
            monday = today - timedelta(days=today.weekday())
            return [monday - timedelta(weeks=back) for back in reversed(range(steps))]
        case "month":
            months = [today.year * 12 + today.month - 1 - back for back in reversed(range(steps))]
            return [today.replace(year=each // 12, month=each % 12 + 1, day=1) for each in months]


def _by_app(rows: Sequence[Row], starts: Sequence[datetime]) -> list[AppActivity]:
    places = {start: place for place, start in enumerate(starts)}
    apps: dict[str, AppActivity] = {}
    for row in rows:
        nothing = [0] * len(starts)
        app = apps.setdefault(
            row["app_id"], AppActivity(id=row["app_id"], name=row["name"], added=nothing, reads=[*nothing])
        )
        # What an import dates in the future has no place yet.
        if (place := places.get(row["start"])) is not None:
            (app.added if row["what"] == "added" else app.reads)[place] = row["times"]
    return sorted(apps.values(), key=lambda app: (-sum(app.added) - sum(app.reads), app.name))

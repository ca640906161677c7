"""Which writes reads do not show although every projection has passed them: those that one had to put aside (G4)."""

from collections.abc import Sequence

from contracts.errors import Unavailable
from contracts.streams import READ_MODELS, SERVING_PROJECTIONS
from contracts.subjects import Aggregate, app, dead_subject, default_access, event_subject, shard_of
from nats.js import JetStreamContext
from runtime.dead_letters import DeadLetters
from runtime.event_store import EventStore
from runtime.waiting import Positions

CODE = "quarantined"


class Quarantined:
    """Looks into MEMLOG_DEAD, when a projection says that it has quarantined something: otherwise it costs nothing."""

    def __init__(self, js: JetStreamContext, log: EventStore, positions: Positions) -> None:
        self._js = js
        self._log = log
        self._positions = positions

    async def by(self, aggregates: Sequence[Aggregate], projections: Sequence[str] = SERVING_PROJECTIONS) -> list[str]:
        """The projections that have quarantined one of these aggregates, which are of one user. True for all that they
        are known to have passed: a letter stands in MEMLOG_DEAD before its projection passes the event. Raises
        `Unavailable`."""
        if not aggregates:
            return []
        uid = aggregates[0].uid
        shard = shard_of(uid, self._log.shards)
        found: list[str] = []
        for name in projections:
            if self._positions.quarantined(name, shard):
                letters = await DeadLetters(self._js, self._log, name).quarantined(shard, uid)
                if any(dead_subject(name, event_subject(shard, each)) in letters for each in aggregates):
                    found.append(name)
        return found

    async def require_access_known(self, uid: str, app_id: str) -> None:
        """Raises `Unavailable` while the read models have put aside what may forbid the app to read: a change of the
        app, of an access rule, or of the default."""
        shard = shard_of(uid, self._log.shards)
        if not self._positions.quarantined(READ_MODELS, shard):
            return
        letters = await DeadLetters(self._js, self._log, READ_MODELS).quarantined(shard, uid)
        own = dead_subject(READ_MODELS, event_subject(shard, app(uid, app_id)))
        default = dead_subject(READ_MODELS, event_subject(shard, default_access(uid)))
        rules = default.rpartition(".")[0]  # they stand beside it
        if any(letter == own or letter.rpartition(".")[0] == rules for letter in letters):
            raise Unavailable(
                "what this app may read is not known: the read models could not apply a change of it. "
                "See: memlog dead list"
            )


def reason(projections: Sequence[str]) -> str:
    """Why reads do not show a write, in words."""
    return (
        f"it is in the log, but {' and '.join(projections)} could not apply it, or an earlier event of the same memory "
        "(app, category, user): reads do not show it until that is healed. See: memlog dead list"
    )

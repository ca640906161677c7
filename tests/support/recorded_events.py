"""Events as a projection gets them, for tests: everything but the payload has a default."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

from contracts.codec import Meta, Recorded
from contracts.messages import Event
from contracts.positions import Position

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
UID = "a" * 32
OTHER_UID = "b" * 32
APP = "11111111-1111-4111-8111-111111111111"


def at(sequence: int) -> datetime:
    """When the event of this sequence happened: a minute after the one before."""
    return START + timedelta(minutes=sequence)


def recorded(
    sequence: int,
    payload: Event,
    *,
    uid: str = UID,
    app: str = APP,
    shard: int = 0,
    final: bool = True,
    command: str | None = None,
) -> Recorded:
    """The event at a sequence: recorded one second after it happened, caused by a command of its own unless told."""
    meta = Meta(
        id=f"event-{sequence}",
        uid=uid,
        app=app,
        actor="mcp",
        occurred_at=at(sequence),
        correlation_id=f"request-{sequence}",
        causation_id=command or f"command-{sequence}",
        final=final,
    )
    digest = sha256(f"{shard}-{sequence}".encode()).hexdigest()
    recorded_at = at(sequence) + timedelta(seconds=1)
    return Recorded(Position(shard, sequence), recorded_at, digest, meta, payload.type, payload)

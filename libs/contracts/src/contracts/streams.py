"""Streams and their settings, declared once, as data. `runtime` applies them idempotently at start-up."""

from dataclasses import dataclass

from contracts.subjects import ROOT

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A JetStream stream. `max_age` in seconds (0: for ever); a full stream refuses (discard NEW), never forgets."""

    name: str
    subjects: tuple[str, ...]
    max_age: float = 0.0
    max_per_subject: int = -1
    description: str = ""


def commands(shard: int, max_age: float = 30 * DAY) -> StreamSpec:
    return StreamSpec(
        f"MEMLOG_COMMANDS_{shard}",
        (f"{ROOT}.cmd.{shard}.>",),
        max_age=max_age,
        description="Intent, one subject a command: a key used before is seen at once",
    )


def events(shard: int) -> StreamSpec:
    return StreamSpec(
        f"MEMLOG_EVENTS_{shard}", (f"{ROOT}.evt.{shard}.>",), description="The truth: never edited, no limits"
    )


def shard_in(stream: str) -> int:
    """The shard whose stream it is."""
    return int(stream.rpartition("_")[2])


def is_truth(stream: str) -> bool:
    """Whether it is an events stream, of which nothing may ever be missing."""
    return stream.startswith("MEMLOG_EVENTS_")


def access(shard: int, max_age: float = 0.0) -> StreamSpec:
    return StreamSpec(
        f"MEMLOG_ACCESS_{shard}",
        (f"{ROOT}.access.{shard}.>",),
        max_age=max_age,
        description="One event a read, with what was returned",
    )


DEAD = StreamSpec("MEMLOG_DEAD", (f"{ROOT}.dead.>",), description="A copy of each message given up on, and why")
DROPPED = StreamSpec(
    "MEMLOG_DROPPED",
    (f"{ROOT}.dropped.>",),
    description="Which messages a projection has to go on without, because a person said so",
)
KEYS = StreamSpec(
    "MEMLOG_KEYS", (f"{ROOT}.key.*",), max_per_subject=1, description="Wrapped data keys; never part of a log backup"
)
USERS = StreamSpec("MEMLOG_USERS", (f"{ROOT}.user.*",), description="Directory: HMAC of a user's name to its uid")
GLOBAL = (DEAD, DROPPED, KEYS, USERS)


def of_shard(shard: int, command_max_age: float, access_max_age: float) -> tuple[StreamSpec, ...]:
    """The streams of one shard."""
    return commands(shard, command_max_age), events(shard), access(shard, access_max_age)


LEASE_BUCKET = "MEMLOG_LEASES"
WRITER_CONSUMER = "memory-writer"
"""Durable consumer on each commands stream: its ack floor is the writer's position."""
CATEGORIZER_CONSUMER = "categorizer"
"""Durable consumer on each events stream: a reactor has no store, so its ack floor is its position."""

EXTRACTION_CONSUMER = "extraction"
"""Likewise of who finds facts in texts."""


def durable_consumers(shard: int) -> tuple[tuple[str, str], ...]:
    """Stream and name of each durable consumer of a shard."""
    stream = events(shard).name
    return (commands(shard).name, WRITER_CONSUMER), (stream, CATEGORIZER_CONSUMER), (stream, EXTRACTION_CONSUMER)


READ_MODELS = "read-models"
ACCESS_LOG = "access-log"
INDEX = "index"
"""Names of the projections, as they stand in announcements, positions and health."""
SERVING_PROJECTIONS = (READ_MODELS, INDEX)
"""A write is searchable when these have passed it."""

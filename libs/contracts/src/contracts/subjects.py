"""Subjects: where each message goes. Nothing outside `contracts` and `runtime` knows about shards.

User names, app names and texts never stand in a subject: only opaque ids do.
"""

import re
from dataclasses import dataclass
from hashlib import sha256

from contracts.errors import InvalidInput

ROOT = "memlog"
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")


def shard_of(uid: str, shards: int) -> int:
    """The shard on which a user lives: a stable hash of the uid, from 0 to shards - 1."""
    return int.from_bytes(sha256(uid.encode()).digest()[:8], "big") % shards


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The address of one event-sourced thing: whose, of which kind, which one.

    Raises `InvalidInput` for what is no token of a subject: an id of `*` would name everything of its user.
    """

    uid: str
    kind: str
    id: str

    def __post_init__(self) -> None:
        for token in (self.uid, self.kind, self.id):
            if not _TOKEN.fullmatch(token):
                raise InvalidInput(f"'{token[:80]}' is not a valid id")


def memory(uid: str, memory_id: str) -> Aggregate:
    return Aggregate(uid, "memory", memory_id)


def app(uid: str, app_id: str) -> Aggregate:
    return Aggregate(uid, "app", app_id)


def user(uid: str) -> Aggregate:
    return Aggregate(uid, "user", uid)


def category(uid: str, category_id: str) -> Aggregate:
    return Aggregate(uid, "category", category_id)


def access_rule(uid: str, rule_id: str) -> Aggregate:
    return Aggregate(uid, "access", rule_id)


def default_access(uid: str) -> Aggregate:
    return Aggregate(uid, "access", "default")


def settings(uid: str) -> Aggregate:
    return Aggregate(uid, "settings", "all")


def archive_policy(uid: str, policy_id: str) -> Aggregate:
    return Aggregate(uid, "policy", policy_id)


def source(uid: str, source_id: str) -> Aggregate:
    """A text that memories were made of."""
    return Aggregate(uid, "source", source_id)


def token(uid: str, token_id: str) -> Aggregate:
    return Aggregate(uid, "token", token_id)


def operation(uid: str, command_id: str) -> Aggregate:
    return Aggregate(uid, "op", command_id)


def command_subject(shard: int, uid: str, command_id: str) -> str:
    return f"{ROOT}.cmd.{shard}.{uid}.{command_id}"


def event_subject(shard: int, aggregate: Aggregate) -> str:
    return f"{ROOT}.evt.{shard}.{aggregate.uid}.{aggregate.kind}.{aggregate.id}"


def events_of_user(shard: int, uid: str) -> str:
    """All events of a user, as a filter."""
    return f"{ROOT}.evt.{shard}.{uid}.>"


def access_of_user(shard: int, uid: str) -> str:
    """The events about who may read a user's memories, as a filter."""
    return f"{ROOT}.evt.{shard}.{uid}.access.*"


def log_start_subject(shard: int) -> str:
    """Where sequence 1 of a shard stands: the log's incarnation (architecture §7)."""
    return f"{ROOT}.evt.{shard}.system.log.start"


def access_subject(shard: int, uid: str, app_id: str) -> str:
    return f"{ROOT}.access.{shard}.{uid}.{app_id}"


def key_subject(uid: str) -> str:
    return f"{ROOT}.key.{uid}"


def user_subject(name_hash: str) -> str:
    return f"{ROOT}.user.{name_hash}"


def announcement_subject(projection: str, shard: int) -> str:
    """Core NATS, not a stream: a projection says after each commit how far it is."""
    return f"{ROOT}.position.{projection}.{shard}"


def position_request_subject(projection: str, shard: int) -> str:
    """Core NATS request/reply: asks a projection's owner how far it is."""
    return f"{ROOT}.ask.position.{projection}.{shard}"


def dead_subject(consumer: str, subject: str) -> str:
    """Where copies of messages that `consumer` gave up on stand: all of one aggregate (or command) on one subject."""
    _, _, shard, rest = subject.split(".", 3)
    return f"{ROOT}.dead.{consumer}.{shard}.{rest}"


def dropped_subject(consumer: str, subject: str, sequence: int) -> str:
    """Where it stands that `consumer` has to go on without the message at this sequence."""
    _, _, shard, rest = subject.split(".", 3)
    return f"{ROOT}.dropped.{consumer}.{shard}.{rest}.{sequence}"


def redrive_subject(consumer: str, shard: int) -> str:
    """Core NATS request/reply: asks a projection's owner to fold an aggregate anew."""
    return f"{ROOT}.ask.redrive.{consumer}.{shard}"


def generations_subject(projection: str) -> str:
    """Core NATS request/reply: asks who keeps a projection's generations to describe or to change them."""
    return f"{ROOT}.ask.generations.{projection}"


def follow_subject(projection: str, shard: int) -> str:
    """Core NATS request/reply: asks a projection's owner to feed another generation too."""
    return f"{ROOT}.ask.follow.{projection}.{shard}"


def switched_subject(projection: str) -> str:
    """Core NATS, not a stream: another generation of the projection serves; the message is its number."""
    return f"{ROOT}.generation.{projection}"


def progress_subject(command_id: str) -> str:
    """Core NATS request/reply: asks the writer how far a large command is."""
    return f"{ROOT}.ask.progress.{command_id}"


def health_request_subject(service: str) -> str:
    """Core NATS request/reply: asks a service for its health."""
    return f"{ROOT}.ask.health.{service}"


def sources_of_shard(shard: int) -> str:
    """All events of texts that memories are made of, as a filter."""
    return f"{ROOT}.evt.{shard}.*.source.*"


def sources_of_user(shard: int, uid: str) -> str:
    """Those of one user."""
    return f"{ROOT}.evt.{shard}.{uid}.source.*"


def policies_of_shard(shard: int) -> str:
    """All events of archive policies of a shard, as a filter."""
    return f"{ROOT}.evt.{shard}.*.policy.*"


DUE = f"{ROOT}.ask.due"
"""Core NATS request/reply, queue group `audit`: which memories archive policies would put away."""

SEARCH = f"{ROOT}.ask.search"
"""Core NATS request/reply, queue group `indexer`."""

EMBED = f"{ROOT}.ask.embed"
"""Core NATS request/reply, queue group `indexer`: vectors of texts, for whoever is not in a hurry."""

CONNECTIONS = f"{ROOT}.ask.connections"
"""Core NATS request/reply: asks every gateway who is connected to it."""

VERIFICATION = f"{ROOT}.ask.verification"
"""Core NATS request/reply: asks who verifies the log to do so, how far that is, and for heads of the audit chains."""

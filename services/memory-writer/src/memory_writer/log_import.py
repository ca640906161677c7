"""Bringing a whole log in: what an export holds, appended to a new, empty log in the same order with the same ids.

Offline only: no service runs, so nobody else appends. Content is sealed anew, with new data keys that keep the users'
identities: the ids of memories and apps derive from these, and a text that is added again has to find its memory.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts import subjects
from contracts.codec import seal
from contracts.errors import Conflict
from contracts.events import UserRegistered
from contracts.streams import USERS, access, events
from contracts.subjects import ROOT
from nats.js.api import Header
from runtime.keys import KeyStore
from runtime.publishing import Outgoing, Publisher
from runtime.stream_reading import RECORDED_AT


@dataclass(frozen=True, slots=True)
class ImportedMessage:
    """An event or access. `address` is its subject behind the shard, `recorded_at` when it was first recorded (RFC
    3339, nanoseconds); `message` the envelope without content, or the stored bytes of one that could not be opened."""

    kind: Literal["event", "access"]
    address: str
    recorded_at: str
    headers: Mapping[str, str]
    message: Mapping[str, Any] | bytes
    content: Mapping[str, Any] | None = None


@dataclass(slots=True)
class LogImport:
    """Appends to a log whose shards have their first event, and nothing else. `last` is how far each stream is that was
    appended to, by its name."""

    publisher: Publisher
    keys: KeyStore
    shards: int
    last: dict[str, int] = field(default_factory=dict[str, int])

    async def user(self, uid: str, identity: bytes) -> None:
        """Make a user's data key. Raises `Conflict` when there is one with another identity, `Unavailable`."""
        if (await self.keys.create(uid, identity)).identity != identity:
            raise Conflict(f"user {uid} has a data key of another log already")

    async def append(self, messages: Sequence[ImportedMessage]) -> None:
        """Append in order, and enter users in the directory. Raises `Undecodable` for what is no message, `KeyMissing`
        for content of a user that was not made before, `ConcurrencyConflict` for a name that two users have,
        `Unavailable`."""
        outgoing: list[Outgoing] = []
        for each in messages:
            uid = each.address.split(".", 1)[0]
            shard = subjects.shard_of(uid, self.shards)
            stream, root, start = (
                (events(shard).name, "evt", 1) if each.kind == "event" else (access(shard).name, "access", 0)
            )
            headers = {**each.headers, RECORDED_AT: each.recorded_at}
            data = await self._stored(uid, each)
            outgoing.append(Outgoing(f"{ROOT}.{root}.{shard}.{each.address}", data, headers, self._next(stream, start)))
            if not isinstance(each.message, bytes) and each.message.get("type") == UserRegistered.type:
                outgoing.append(self._entry(uid, (each.content or {})["name"]))
        await self.publisher.publish(outgoing)

    def _next(self, stream: str, start: int) -> int:
        before = self.last.get(stream, start)
        self.last[stream] = before + 1
        return before

    async def _stored(self, uid: str, each: ImportedMessage) -> bytes:
        if isinstance(each.message, bytes):
            return each.message
        return seal(each.message, each.content, None if each.content is None else await self.keys.get(uid))

    def _entry(self, uid: str, name: str) -> Outgoing:
        subject = subjects.user_subject(self.keys.master.name_hash(name))
        new = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
        return Outgoing(subject, json.dumps({"uid": uid}).encode(), new, self._next(USERS.name, 0))

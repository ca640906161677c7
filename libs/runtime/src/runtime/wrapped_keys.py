"""Data keys as they are stored, wrapped by the master key: read all, put back those that are missing."""

import json
from collections.abc import Mapping

from contracts.errors import Conflict, ContentDamaged
from contracts.streams import KEYS
from contracts.subjects import key_subject
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from runtime.errors import nats_errors
from runtime.event_store import EventStore
from runtime.keys import MasterKey
from runtime.publishing import publish_first
from runtime.stream_reading import pages


async def read_all(js: JetStreamContext, events: EventStore) -> tuple[dict[str, bytes], int]:
    """The wrapped key of each user, by uid, in the order in which they were made; and the last sequence of MEMLOG_KEYS.
    Nothing, and 0, where that stream is not made yet. Raises `Unavailable`."""
    with nats_errors("describe the data keys"):
        try:
            last = (await js.stream_info(KEYS.name)).state.last_seq
        except NotFoundError:
            return {}, 0
    found: dict[str, bytes] = {}
    async for page in pages(events, KEYS.name, 1, last):
        found.update((message.subject.rsplit(".", 1)[-1], message.data) for message in page)
    return found, last


async def put_missing(
    js: JetStreamContext, there: Mapping[str, bytes], given: Mapping[str, bytes], master: MasterKey
) -> int:
    """Store the keys of `given` that are not `there`; how many.

    Raises, before any is stored, `Conflict` when a user has another key already, `ConfigurationError` and
    `ContentDamaged` for one that does not unwrap; and `Unavailable`.
    """
    missing = {uid: key for uid, key in given.items() if uid not in there}
    for uid, key in given.items():
        if uid in there and master.unwrap(uid, key) != master.unwrap(uid, there[uid]):
            raise Conflict(f"user {uid} has another data key already: these keys belong to another log")
    for uid, key in missing.items():
        master.unwrap(uid, key)
    with nats_errors("store a data key"):
        for uid, key in missing.items():
            if not await publish_first(js, key_subject(uid), key):
                raise Conflict(f"user {uid} was given a data key just now: try again")
    return len(missing)


def wrapped_by(stored: bytes) -> str:
    """The fingerprint of the master key that wrapped a key. Raises `ContentDamaged`."""
    try:
        return str(json.loads(stored)["master"])
    except (ValueError, KeyError, TypeError):
        raise ContentDamaged("a stored data key is damaged: restore MEMLOG_KEYS from a key backup") from None

"""Identifiers: random where they name something new, derived where a retry must arrive at the same one."""

import hmac
import os
import time
import unicodedata
import uuid
from hashlib import sha256

from contracts.errors import InvalidInput

_COMMANDS = uuid.UUID("6b0f6d7e-9a35-5c3e-8f0a-3f1f3c0a7d11")


def new_uid() -> str:
    """An opaque user id: 128 random bits as 32 hex digits. It says nothing about the user's name."""
    return os.urandom(16).hex()


OWN_APP = "memlog"
"""Stands where an app's id stands, for what Memlog's own parts do. No user's app has it."""

OWNER_APP = "dashboard"
"""The app under which a person reads their own memories (REST, dashboard): it sees every state, and its reads
count for no other app."""


def uuid7() -> str:
    """A UUIDv7 (RFC 9562 §5.7): sortable by millisecond, random otherwise."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def command_id_for_key(uid: str, idempotency_key: str) -> str:
    """The command id that a user's idempotency key always leads to (architecture §4.1)."""
    return str(uuid.uuid5(_COMMANDS, f"{uid}\x00{idempotency_key}"))


def event_id(command_id: str, index: int) -> str:
    """The id of a command's `index`-th event: a command handled twice derives the same ids."""
    return str(uuid.uuid5(uuid.UUID(command_id), str(index)))


def keyed_id(key: bytes, *parts: str) -> str:
    """A UUIDv8 (RFC 9562 §5.8) from HMAC-SHA256: stable for the key's owner, meaningless without the key."""
    digest = bytearray(hmac.new(key, "\x00".join(parts).encode(), sha256).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def normalize_text(text: str) -> str:
    """The form in which two texts count as identical: NFC, white space folded, ends trimmed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def memory_id(identity_key: bytes, text: str, counter: int) -> str:
    """The id of a memory of this text. `counter` moves on when the id before is taken by a memory that was
    revised or deleted (architecture §4.5)."""
    return keyed_id(identity_key, "memory", normalize_text(text), str(counter))


def app_id(identity_key: bytes, name: str) -> str:
    """The id of the user's app of this name."""
    return keyed_id(identity_key, "app", name)


def category_id(identity_key: bytes, name: str) -> str:
    """The id of the user's category of this name, whatever its case."""
    return keyed_id(identity_key, "category", normalize_text(name).casefold())


def rule_id(identity_key: bytes, app_id: str, memory_id: str | None, category: str | None) -> str:
    """The id of the app's rule about this memory, this category (whatever its case) or everything."""
    name = "" if category is None else normalize_text(category).casefold()
    return keyed_id(identity_key, "rule", app_id, memory_id or "", name)


def parse_uuid(value: str, what: str = "id") -> str:
    """The canonical form of a UUID string. Raises `InvalidInput` naming `what`."""
    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(f"'{str(value)[:80]}' is not a valid {what}: expected a UUID") from None

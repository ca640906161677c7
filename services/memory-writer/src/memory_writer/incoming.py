"""Commands as they come in: decoded, or refused in words, or given up on."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.codec import DataKey, Decoded, Meta, Undecodable, decode_command, read_envelope
from contracts.commands import AnyCommand
from contracts.errors import ContentDamaged, InvalidInput, KeyMissing, MemlogError, UnsupportedSchema
from contracts.ids import parse_uuid
from nats.aio.msg import Msg
from runtime.keys import KeyStore
from runtime.outcome import Reject

from memory_writer.planning import Operation, last_index, operation_of

REPLY_HEADER = "Memlog-Reply"
"""Where the gateway that waits wants the outcome (a core NATS subject)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A command to handle; `command` is None for one that cannot be read, and `unreadable` says why."""

    meta: Meta
    type: str
    command: Decoded[AnyCommand] | None
    key: DataKey
    headers: Mapping[str, str]
    stream: str
    maybe_handled: bool
    unreadable: MemlogError | None = None

    @property
    def operation(self) -> Operation:
        """The operation that it ends."""
        if self.command is None:
            return Operation(self.meta.id, self.type)
        return operation_of(self.meta, self.command.payload)

    @property
    def last_index(self) -> int:
        """See `planning.last_index`."""
        return 0 if self.command is None else last_index(self.command.payload)


async def read(keys: KeyStore, message: Msg, seen: int) -> Pending | Reject:
    """A message of a commands stream; `seen` is the sequence up to which messages may have been handled before.

    `Reject`: not even its sender can be told. Raises `Unavailable`.
    """
    uid = message.subject.split(".")[3]
    try:
        key = await keys.get(uid)
        meta, type_ = read_envelope(message.data)
        parse_uuid(meta.id, "command id")  # event ids derive from it
    except (Undecodable, KeyMissing, InvalidInput) as error:
        return Reject(f"{error.code}: {error.message}")
    metadata = message.metadata
    handled = metadata.num_delivered > 1 or metadata.sequence.stream <= seen
    headers = message.headers or {}
    if not message.subject.endswith(f".{uid}.{meta.id}") or meta.uid != uid:
        return Reject("undecodable: the envelope does not belong to its subject")
    try:
        return Pending(meta, type_, decode_command(message.data, key), key, headers, metadata.stream, handled)
    except (Undecodable, ContentDamaged, UnsupportedSchema) as error:
        return Pending(meta, type_, None, key, headers, metadata.stream, handled, error)

"""The codec: envelope and event or command to bytes and back, with content sealed.

`sealed` is one AES-256-GCM ciphertext over all content fields of a message. Its associated data binds it to
the message's id, type and user, so that it cannot be moved to another message.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from contracts.commands import COMMANDS, AnyCommand
from contracts.errors import ContentDamaged, MemlogError
from contracts.events import EVENTS
from contracts.messages import Command, Event, Message
from contracts.positions import Position
from contracts.upcasts import UPCASTS, Upcasts, upcast


class DataKey(Protocol):
    """A user's key. `seal`/`open` are authenticated encryption; `open` raises `ContentDamaged`."""

    def seal(self, plaintext: bytes, associated: bytes) -> bytes: ...

    def open(self, ciphertext: bytes, associated: bytes) -> bytes: ...

    @property
    def identity(self) -> bytes:
        """Key for derived ids (memory and app ids)."""
        ...


class Undecodable(MemlogError):
    """The stored bytes are not a message that this code can read."""

    code = "undecodable"
    remedy = (
        "Upgrade Memlog if a newer version wrote it; else restore the log from a backup. `memlog dead show` "
        "shows the message."
    )


@dataclass(frozen=True, slots=True)
class Meta:
    """The envelope without its payload: who, when, why. `occurred_at` is UTC with millisecond precision.

    `id` is the event's or command's id; `final` marks the event that completes its command.
    """

    id: str
    uid: str
    app: str
    actor: str
    occurred_at: datetime
    correlation_id: str
    causation_id: str
    final: bool = False


class _Wire(BaseModel):
    """The envelope as stored (architecture §3)."""

    model_config = ConfigDict(extra="ignore")
    event_id: str
    type: str
    schema_version: int
    occurred_at: datetime
    uid: str
    app: str
    actor: str
    correlation_id: str
    causation_id: str
    final: bool = False
    data: dict[str, Any]
    sealed: str | None = None


P = TypeVar("P", bound=Message)


@dataclass(frozen=True, slots=True)
class Decoded(Generic[P]):
    """A message read back: its envelope and its payload."""

    meta: Meta
    payload: P


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in the log. `recorded_at` is the stream's own timestamp, `sha256` of the stored bytes (hex);
    `payload` is None for a type that this code does not know (skipped). `subject` and `trace_id` (W3C, hex) are those
    of the message that carries it."""

    position: Position
    recorded_at: datetime
    sha256: str
    meta: Meta
    type: str
    payload: Event | None
    subject: str = ""
    trace_id: str | None = None


def timestamp(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _associated(id_: str, type_: str, uid: str) -> bytes:
    return f"{uid}|{id_}|{type_}".encode()


def _dump(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _sealed(content: Mapping[str, Any], id_: str, type_: str, uid: str, key: DataKey | None) -> str:
    if key is None:
        raise ValueError(f"{type_} holds content and needs the user's key")
    return base64.b64encode(key.seal(_dump(content), _associated(id_, type_, uid))).decode()


def _opened(sealed: str, wire: _Wire, key: DataKey | None) -> dict[str, Any]:
    if key is None:
        raise Undecodable(f"{wire.type} {wire.event_id} is sealed and no key was given")
    associated = _associated(wire.event_id, wire.type, wire.uid)
    try:
        return from_json(key.open(base64.b64decode(sealed, validate=True), associated))
    except ValueError as error:
        raise ContentDamaged(f"{wire.type} {wire.event_id}: sealed part is damaged ({error})") from None


def encode(meta: Meta, payload: Message, key: DataKey | None) -> bytes:
    """One JSON envelope. `key` may be None only for messages without content fields."""
    fields = payload.model_dump(mode="json")
    content = {name: fields.pop(name) for name in payload.sealed}
    wire = {
        "event_id": meta.id,
        "type": payload.type,
        "schema_version": payload.schema_version,
        "occurred_at": timestamp(meta.occurred_at),
        "uid": meta.uid,
        "app": meta.app,
        "actor": meta.actor,
        "correlation_id": meta.correlation_id,
        "causation_id": meta.causation_id,
        "final": meta.final,
        "data": fields,
    }
    if content:
        wire["sealed"] = _sealed(content, meta.id, payload.type, meta.uid, key)
    return _dump(wire)


def read_envelope(raw: bytes) -> tuple[Meta, str]:
    """Envelope and type alone: no key needed. Raises `Undecodable`."""
    wire = _parse(raw)
    return _meta(wire), wire.type


def decode_event(
    raw: bytes, key: DataKey | None, types: dict[str, type[Event]] = EVENTS, steps: Upcasts = UPCASTS
) -> tuple[Meta, str, Event | None]:
    """Envelope, type and event; the event is None for an unknown type. Raises `Undecodable`, `ContentDamaged`,
    `UnsupportedSchema`."""
    wire = _parse(raw)
    known = types.get(wire.type)
    return _meta(wire), wire.type, None if known is None else _payload(wire, known, key, steps)


def decode_command(raw: bytes, key: DataKey | None) -> Decoded[AnyCommand]:
    """A command with its envelope. Raises `Undecodable` (also for unknown types), `ContentDamaged`,
    `UnsupportedSchema`."""
    wire = _parse(raw)
    known: type[Command] | None = COMMANDS.get(wire.type)
    if known is None:
        raise Undecodable(f"unknown command type {wire.type!r}")
    return Decoded(_meta(wire), _payload(wire, known, key, UPCASTS))  # pyright: ignore[reportReturnType]


def unseal(raw: bytes, key: DataKey | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A message as it is stored, with nothing lifted to a newer version or left out: the fields of the envelope but
    `sealed`; and the content, None where there is none. `seal` is the way back. Raises `Undecodable`, `ContentDamaged`.
    """
    wire = _parse(raw)
    envelope: dict[str, Any] = from_json(raw)
    envelope.pop("sealed", None)
    return envelope, None if wire.sealed is None else _opened(wire.sealed, wire, key)


def seal(envelope: Mapping[str, Any], content: Mapping[str, Any] | None, key: DataKey | None) -> bytes:
    """The message whose fields `unseal` gave. Raises `Undecodable` when they are not those of an envelope."""
    fields = dict(envelope)
    if content is not None:
        fields["sealed"] = ""
    wire = _parse(_dump(fields))
    if content is not None:
        fields["sealed"] = _sealed(content, wire.event_id, wire.type, wire.uid, key)
    return _dump(fields)


def _parse(raw: bytes) -> _Wire:
    try:
        return _Wire.model_validate_json(raw)
    except ValidationError as error:
        raise Undecodable(f"not an envelope: {error.error_count()} errors, first: {error.errors()[0]['msg']}") from None


def _meta(wire: _Wire) -> Meta:
    return Meta(
        id=wire.event_id,
        uid=wire.uid,
        app=wire.app,
        actor=wire.actor,
        occurred_at=wire.occurred_at,
        correlation_id=wire.correlation_id,
        causation_id=wire.causation_id,
        final=wire.final,
    )


def _payload(wire: _Wire, known: type[P], key: DataKey | None, steps: Upcasts) -> P:
    fields = dict(wire.data)
    if wire.sealed is not None:
        fields |= _opened(wire.sealed, wire, key)
    elif known.sealed and wire.schema_version == known.schema_version:
        # Content in the clear, or none where there was some, is not the writer's work.
        raise ContentDamaged(f"{wire.type} {wire.event_id}: its content is not sealed")
    fields = upcast(fields, wire.type, wire.schema_version, known.schema_version, steps)
    try:
        return known.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Undecodable(f"{wire.type} {wire.event_id}: {where}: {first['msg']}") from None

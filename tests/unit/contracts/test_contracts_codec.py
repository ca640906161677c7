"""The codec: what goes in comes out, content is never in the clear, and damage is never overlooked."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from contracts.codec import Meta, Undecodable, decode_command, decode_event, encode, read_envelope
from contracts.commands import COMMANDS, AddMemory, DeleteMemories, PauseApp, ReviseMemory
from contracts.errors import ContentDamaged, InvalidInput, UnsupportedSchema
from contracts.events import EVENTS, AppPaused, CommandSettled, MemoriesRead, MemoryAdded
from contracts.messages import Event, Message, registry
from hypothesis import given
from hypothesis import strategies as st
from support.keys import KEY, OTHER_KEY

UID = "0123456789abcdef0123456789abcdef"
META = Meta(
    id="5bdc2b0c-9c35-5a0f-8f0a-3f1f3c0a7d11",
    uid=UID,
    app="7f1f5d1e-0000-8000-8000-000000000001",
    actor="mcp",
    occurred_at=datetime(2026, 11, 22, 12, 30, 0, 123000, tzinfo=UTC),
    correlation_id="c",
    causation_id="d",
)
ADDED = MemoryAdded(
    memory_id="m-1", text="Ada prefers tea", metadata={"source": "letter"}, categories=("beverages", "habits")
)

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
NAME = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
METADATA = st.dictionaries(TEXT, JSON, max_size=3)
METAS = st.builds(
    Meta,
    id=st.uuids().map(str),
    uid=st.uuids().map(lambda u: u.hex),
    app=st.uuids().map(str),
    actor=st.sampled_from(["mcp", "rest", "ui", "service"]),
    occurred_at=st.datetimes(
        min_value=datetime(1000, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
    ).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
    correlation_id=st.uuids().map(str),
    causation_id=st.uuids().map(str),
    final=st.booleans(),
)


def _messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    given_fields: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in kind.model_fields.items():
        pattern = next((each.pattern for each in field.metadata if getattr(each, "pattern", None)), None)
        if pattern is not None:
            given_fields[name] = st.from_regex(pattern, fullmatch=True)
        elif field.annotation is str:
            given_fields[name] = NAME if kind in COMMANDS.values() else TEXT
        elif name in ("metadata", "settings"):
            given_fields[name] = METADATA
        elif name in ("parts", "sizes"):  # as many of one as of the other
            given_fields[name] = st.just(("part",) if name == "parts" else (1,))
    return st.builds(kind, **given_fields)


EVENT_VALUES = st.sampled_from(list(EVENTS.values())).flatmap(_messages)
COMMAND_VALUES = st.sampled_from(list(COMMANDS.values())).flatmap(_messages)


def _stored(**changes: Any) -> dict[str, Any]:
    return json.loads(encode(META, ADDED, KEY)) | changes


def _event(fields: dict[str, Any], key: Any = KEY) -> Event | None:
    return decode_event(json.dumps(fields).encode(), key)[2]


@given(METAS, EVENT_VALUES)
def test_an_event_comes_back_as_it_went_in(meta: Meta, event: Message) -> None:
    raw = encode(meta, event, KEY)
    assert decode_event(raw, KEY) == (meta, event.type, event)
    assert read_envelope(raw) == (meta, event.type)


@given(METAS, COMMAND_VALUES)
def test_a_command_comes_back_as_it_went_in(meta: Meta, command: Message) -> None:
    decoded = decode_command(encode(meta, command, KEY), KEY)
    assert (decoded.meta, decoded.payload) == (meta, command)


@pytest.mark.parametrize("kind", [*EVENTS.values(), *COMMANDS.values()], ids=lambda kind: kind.type)
def test_sealed_fields_exist(kind: type[Message]) -> None:
    assert kind.sealed <= set(kind.model_fields)


@given(METAS, st.one_of(EVENT_VALUES, COMMAND_VALUES))
def test_only_sealed_bytes_hold_content(meta: Meta, message: Message) -> None:
    wire = json.loads(encode(meta, message, KEY))
    assert ("sealed" in wire) == bool(message.sealed)
    assert not set(wire["data"]) & message.sealed


def test_no_content_appears_in_the_stored_bytes() -> None:
    raw = encode(META, ADDED, KEY)
    wire = json.loads(raw)
    for words in (b"Ada", b"tea", b"letter", b"source", b"beverages", b"habits", b"text", b"categories"):
        assert words not in raw
        assert words not in base64.b64decode(wire["sealed"])


def test_the_same_content_never_looks_the_same_twice() -> None:
    assert json.loads(encode(META, ADDED, KEY))["sealed"] != json.loads(encode(META, ADDED, KEY))["sealed"]


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": "5bdc2b0c-9c35-5a0f-8f0a-3f1f3c0a7d12"},
        {"uid": "f" * 32},
        {"type": "MemoryRevised", "data": {"memory_id": "m-1", "version": 2}},
    ],
    ids=["another message", "another user", "another type"],
)
def test_sealed_content_cannot_be_moved(changes: dict[str, Any]) -> None:
    with pytest.raises(ContentDamaged):
        _event(_stored(**changes))


def test_sealed_content_opens_with_no_other_key() -> None:
    with pytest.raises(ContentDamaged):
        _event(_stored(), OTHER_KEY)


@given(st.integers(min_value=0), st.integers(0, 255))
def test_any_changed_byte_of_sealed_content_is_noticed(place: int, value: int) -> None:
    stored = _stored()
    sealed = bytearray(base64.b64decode(stored["sealed"]))
    place %= len(sealed)
    sealed[place] ^= value or 1
    with pytest.raises(ContentDamaged):
        _event(stored | {"sealed": base64.b64encode(sealed).decode()})


@pytest.mark.parametrize("sealed", ["", "AAAA", "not base64!", "AAAAAAAAAAAAAAAAAAAA"])
def test_sealed_content_cut_short_is_damaged(sealed: str) -> None:
    with pytest.raises(ContentDamaged):
        _event(_stored(sealed=sealed))


def test_content_that_is_not_sealed_is_refused() -> None:
    forged = _stored()
    del forged["sealed"]
    forged["data"] |= {"text": "forged"}
    with pytest.raises(ContentDamaged):
        _event(forged)


def test_optional_content_that_was_taken_away_is_noticed() -> None:
    stored = json.loads(encode(META, MemoriesRead(kind="search", query="tea"), KEY))
    del stored["sealed"]
    with pytest.raises(ContentDamaged):
        _event(stored)


def test_sealed_content_wins_over_a_clear_field_of_the_same_name() -> None:
    event = _event(_stored(data={"memory_id": "m-1", "text": "forged"}))
    assert event == ADDED


def test_content_is_not_encoded_without_a_key() -> None:
    with pytest.raises(ValueError, match="needs the user's key"):
        encode(META, ADDED, None)


def test_content_is_not_decoded_without_a_key() -> None:
    with pytest.raises(Undecodable):
        _event(_stored(), None)


def test_an_event_without_content_needs_no_key() -> None:
    event = AppPaused(app_id="a-1")
    assert decode_event(encode(META, event, None), None)[2] == event


def test_an_unknown_event_type_has_no_payload() -> None:
    meta, type_, payload = decode_event(json.dumps(_stored(type="MemoryDreamt")).encode(), KEY)
    assert (meta, type_, payload) == (META, "MemoryDreamt", None)


@pytest.mark.parametrize("version", [MemoryAdded.schema_version + 1, 99])
def test_a_newer_version_of_a_known_type_is_unsupported(version: int) -> None:
    with pytest.raises(UnsupportedSchema, match=f"MemoryAdded has schema version {version}"):
        _event(_stored(schema_version=version))


def test_a_version_before_the_first_is_unsupported() -> None:
    with pytest.raises(UnsupportedSchema):
        _event(_stored(schema_version=0))


def test_unknown_fields_of_an_event_are_ignored() -> None:
    stored = _stored(later="field")
    stored["data"]["mood"] = "calm"
    assert _event(stored) == ADDED


def test_unknown_fields_of_a_command_are_refused() -> None:
    stored = json.loads(encode(META, PauseApp(app_id="a-1"), KEY))
    stored["data"]["mood"] = "calm"
    with pytest.raises(Undecodable, match="mood"):
        decode_command(json.dumps(stored).encode(), KEY)


def test_an_unknown_command_type_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="DreamMemory"):
        decode_command(json.dumps(_stored(type="DreamMemory")).encode(), KEY)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"type":"MemoryAdded"}'])
def test_bytes_that_are_no_envelope_are_undecodable(raw: bytes) -> None:
    with pytest.raises(Undecodable):
        decode_event(raw, KEY)
    with pytest.raises(Undecodable):
        decode_command(raw, KEY)
    with pytest.raises(Undecodable):
        read_envelope(raw)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_an_undecodable_message_does_not_repeat_content() -> None:
    raw = encode(META, ADDED.model_copy(update={"text": "secret " * 3, "categories": {"secret": 1}}), KEY)
    with pytest.raises(Undecodable) as refused:
        decode_event(raw, KEY)
    assert "categories" in refused.value.message
    assert "secret" not in refused.value.message


@given(METAS)
def test_times_are_stored_in_utc_with_milliseconds(meta: Meta) -> None:
    stored = json.loads(encode(meta, AppPaused(app_id="a"), None))["occurred_at"]
    assert len(stored) == len("2026-11-22T12:30:00.123Z")
    assert stored.endswith("Z")


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(ValueError, match="unicode"):
        AddMemory(text="\ud800")


@pytest.mark.parametrize(
    "value",
    [AddMemory(text="x"), ReviseMemory(memory_id="m", text="x"), DeleteMemories(memory_ids=()), CommandSettled],
    ids=lambda value: value.type,
)
def test_messages_are_frozen(value: Message | type[Message]) -> None:
    message = CommandSettled(command_type="X", outcome="done") if isinstance(value, type) else value
    with pytest.raises(ValueError, match="frozen"):
        message.type_of = "x"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("command", [{"type": "AddMemory", "text": ""}, {"type": "RegisterApp", "name": "a" * 257}])
def test_commands_are_validated(command: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        COMMANDS[command.pop("type")].model_validate(command)


def test_two_types_cannot_share_a_literal() -> None:
    class AnotherPause(Event):
        type = "AppPaused"

    with pytest.raises(ValueError, match="share"):
        registry(AppPaused, AnotherPause)


def test_events_and_commands_share_no_literal() -> None:
    assert not set(EVENTS) & set(COMMANDS)


def test_invalid_input_is_not_undecodable() -> None:
    assert InvalidInput.code != Undecodable.code

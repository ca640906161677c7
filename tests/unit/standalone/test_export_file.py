"""The file of an export: what goes in comes out, and no change of it goes unseen."""

import io
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standalone.export_file import ExportReader, ExportWriter, Header, LogMessage, User, message_line
from standalone.failures import FileDamaged, FileUnusable

HEADER = Header(
    memlog="0.1.0",
    created_at="2026-11-22T20:00:00.000+00:00",
    shards=1,
    incarnations=["00ff"],
    last_sequences=[3],
    with_accesses=True,
)
PLACE: dict[str, Any] = {
    "shard": 0,
    "sequence": 2,
    "recorded_at": "2026-11-22T20:00:00.123456789Z",
    "subject": "u1.memory.m1",
    "headers": {"traceparent": "00-ab-cd-01"},
}
ENVELOPE: dict[str, Any] = {"event_id": "e1", "type": "MemoryAdded", "from_the_future": [1, {"a": None}], "data": {}}
CONTENT: dict[str, Any] = {"text": "Zürich ✈ \u2028 \x00 \n", "metadata": {"n": 1.5, "big": 2**70, "deep": {"x": []}}}


def exported() -> bytes:
    file = io.BytesIO()
    writer = ExportWriter(file, HEADER)
    writer.add(User(uid="u1", identity="ab" * 32).model_dump())
    writer.add(message_line("event", PLACE, (ENVELOPE, CONTENT)))
    writer.add(message_line("event", PLACE, (ENVELOPE, None)))
    writer.add(message_line("access", PLACE, b"\x00 not an envelope \xff"))
    writer.finish()
    return file.getvalue()


def read(raw: bytes) -> list[User | LogMessage]:
    return [line for line, _ in ExportReader(io.BytesIO(raw), "export.jsonl").lines()]


def test_what_was_written_is_read_with_unknown_fields_and_their_order() -> None:
    user, sealed, clear, raw = read(exported())
    assert user == User(uid="u1", identity="ab" * 32)
    assert isinstance(sealed, LogMessage) and isinstance(clear, LogMessage) and isinstance(raw, LogMessage)
    assert (json.dumps(sealed.envelope()), sealed.content) == (json.dumps(ENVELOPE), CONTENT)
    assert (clear.envelope(), clear.content) == (ENVELOPE, None)
    assert raw.envelope() == b"\x00 not an envelope \xff"
    assert {**PLACE, "kind": "event"}.items() <= sealed.model_dump().items()


def test_every_line_is_one_json_object_and_the_last_counts_them() -> None:
    lines = [json.loads(line) for line in exported().decode().split("\n")[:-1]]
    assert [line["kind"] for line in lines] == ["header", "user", "event", "event", "access", "end"]
    assert (lines[-1]["users"], lines[-1]["events"], lines[-1]["accesses"]) == (1, 2, 1)
    assert lines[2]["content"]["text"] == CONTENT["text"]


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none() | st.text() | st.floats(allow_nan=False) | st.integers(), lambda i: st.lists(i, max_size=3)
        ),
        max_size=4,
    )
)
def test_any_content_comes_back_as_it_was(content: dict[str, Any]) -> None:
    file = io.BytesIO()
    writer = ExportWriter(file, HEADER)
    writer.add(message_line("event", PLACE, (ENVELOPE, content)))
    writer.finish()
    (line,) = read(file.getvalue())
    assert isinstance(line, LogMessage) and line.content == content


def test_an_export_that_is_cut_off_anywhere_is_refused() -> None:
    whole = exported()
    for end in range(len(whole)):
        with pytest.raises(FileUnusable):
            read(whole[:end])


def test_an_export_with_any_byte_changed_is_refused() -> None:
    whole, chance = exported(), random.Random(20261122)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << chance.randrange(8)
        with pytest.raises(FileUnusable):
            read(bytes(changed))


def test_an_export_with_a_line_twice_missing_or_moved_is_refused() -> None:
    lines = exported().splitlines(keepends=True)
    for damaged in (
        [*lines[:3], lines[2], *lines[3:]],
        [*lines[:2], *lines[3:]],
        [lines[0], lines[1], lines[3], lines[2], *lines[4:]],
        [*lines, lines[-1]],
        [lines[0], *lines],
        [*lines, b"\n"],
    ):
        with pytest.raises(FileDamaged):
            read(b"".join(damaged))


def test_what_is_no_export_or_a_newer_one_is_told_so() -> None:
    for other in (b"", b"{}\n", b"[1]\n", b"\xff\n", b'{"format": "memlog-keys", "version": 1}\n'):
        with pytest.raises(FileUnusable, match="no export"):
            read(other)
    with pytest.raises(FileUnusable, match="version 2"):
        read(exported().replace(b'"version":1', b'"version":2', 1))


@pytest.mark.parametrize(
    "bad",
    [
        {"subject": "u1.>"},
        {"subject": "u1"},
        {"subject": "u1.memory.m 1"},
        {"recorded_at": "now\r\nNats-Rollup: all"},
        {"headers": {"a": "b\r\nNats-Rollup: all"}},
    ],
)
def test_what_would_mean_something_else_to_the_server_is_refused(bad: dict[str, Any]) -> None:
    file = io.BytesIO()
    writer = ExportWriter(file, HEADER)
    writer.add(message_line("event", {**PLACE, **bad}, (ENVELOPE, None)))
    writer.finish()
    with pytest.raises(FileDamaged):
        read(file.getvalue())

"""Ids: random ones are what their RFC says, derived ones never change."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from contracts import ids
from contracts.errors import InvalidInput
from hypothesis import given
from hypothesis import strategies as st

KEY = bytes(range(32))
COMMAND = "018f0000-0000-7000-8000-000000000000"


def test_a_uuid7_has_version_variant_and_time() -> None:
    before = time.time_ns() // 1_000_000
    value = uuid.UUID(ids.uuid7())
    after = time.time_ns() // 1_000_000
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert before <= value.int >> 80 <= after


def test_uuid7s_are_distinct_and_sort_by_millisecond() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [each.result() for each in [pool.submit(ids.uuid7) for _ in range(2_000)]]
    assert len(set(made)) == len(made)
    first = ids.uuid7()
    tick = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == tick:
        pass
    assert first < ids.uuid7()


def test_a_uid_says_nothing() -> None:
    uids = {ids.new_uid() for _ in range(200)}
    assert len(uids) == 200
    assert all(len(uid) == 32 and int(uid, 16) >= 0 for uid in uids)


def test_derived_ids_never_change() -> None:
    """A change here would break retries of commands and the duplicate gate on every existing log."""
    assert ids.command_id_for_key("u1", "key:order-17") == "f870ec21-1eaa-52ca-b7a2-bdfb789b3183"
    assert ids.event_id(COMMAND, 0) == "5773b359-6431-5fb0-b34e-8a0fdf05e01e"
    assert ids.event_id(COMMAND, 1) == "1f587f56-1dec-5b38-82d9-a6bad8ff0157"
    assert ids.memory_id(KEY, "Ada prefers tea", 0) == "4d2b3157-9b30-821d-815c-dadc6ba82bfd"
    assert ids.memory_id(KEY, "Ada prefers tea", 1) == "113ff6c5-98a2-878e-9580-1c6a0ac6b5fc"
    assert ids.app_id(KEY, "claude") == "6627cca5-7f9f-8555-a0df-5a803ffc414d"


def test_keyed_ids_are_uuid8s_that_mean_nothing_without_the_key() -> None:
    value = uuid.UUID(ids.memory_id(KEY, "text", 0))
    assert (value.version, value.variant) == (8, uuid.RFC_4122)
    assert ids.memory_id(KEY, "text", 0) != ids.memory_id(bytes(32), "text", 0)
    assert ids.memory_id(KEY, "claude", 0) != ids.app_id(KEY, "claude")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_command_ids_are_one_per_user_and_key(uid: str, key: str, other_uid: str, other_key: str) -> None:
    uid, other_uid = uid.replace("\x00", ""), other_uid.replace("\x00", "")  # a uid is hex
    same = (uid, key) == (other_uid, other_key)
    assert (_command_id(uid, key) == _command_id(other_uid, other_key)) == same


def _command_id(uid: str, key: str) -> str:
    return ids.command_id_for_key(uid.encode("utf-8", "replace").decode(), key.encode("utf-8", "replace").decode())


@pytest.mark.parametrize(
    ("one", "other"),
    [("a  b", "a b"), (" a\tb\n", "a b"), ("caf\u00e9", "cafe\u0301"), ("a\u00a0b", "a b"), ("a\r\nb", "a b")],
)
def test_texts_that_differ_in_white_space_or_composition_are_identical(one: str, other: str) -> None:
    assert ids.normalize_text(one) == ids.normalize_text(other)
    assert ids.memory_id(KEY, one, 0) == ids.memory_id(KEY, other, 0)


@pytest.mark.parametrize(("one", "other"), [("9:15", "9:45"), ("Tea", "tea"), ("a", "a."), ("②", "2")])
def test_texts_that_differ_otherwise_are_not(one: str, other: str) -> None:
    assert ids.normalize_text(one) != ids.normalize_text(other)


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = ids.normalize_text(text)
    assert ids.normalize_text(once) == once


def test_a_uuid_is_read_in_any_form_and_given_in_one() -> None:
    assert ids.parse_uuid(COMMAND.upper()) == COMMAND
    assert ids.parse_uuid(COMMAND.replace("-", "")) == COMMAND
    with pytest.raises(InvalidInput, match="memory id"):
        ids.parse_uuid("memory-1", "memory id")
    with pytest.raises(InvalidInput) as refused:
        ids.parse_uuid("x" * 5_000)
    assert len(refused.value.message) < 200

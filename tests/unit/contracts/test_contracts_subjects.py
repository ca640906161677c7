"""Subjects, shards and streams: stable, evenly spread, and without a word of anybody's."""

import inspect
from collections import Counter

import pytest
from contracts import streams, subjects
from contracts.errors import InvalidInput
from contracts.subjects import Aggregate, shard_of
from hypothesis import given
from hypothesis import strategies as st

UID = "0123456789abcdef0123456789abcdef"


def test_the_shard_of_a_user_never_changes() -> None:
    """A change here would send users to shards that do not hold their events."""
    assert [shard_of(f"{n:032x}", 8) for n in range(12)] == [4, 7, 5, 2, 3, 7, 5, 3, 1, 6, 3, 2]
    assert [shard_of(f"{n:032x}", 3) for n in range(12)] == [2, 2, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1]
    assert {shard_of(f"{n:032x}", 1) for n in range(50)} == {0}


@pytest.mark.parametrize("shards", [3, 8])
def test_users_are_spread_evenly(shards: int) -> None:
    users = 8_000
    counts = Counter(shard_of(f"{n:032x}", shards) for n in range(users))
    assert set(counts) == set(range(shards))
    assert all(abs(count - users / shards) < 0.15 * users / shards for count in counts.values())


@given(st.text(), st.integers(1, 256))
def test_every_uid_has_a_shard(uid: str, shards: int) -> None:
    assert 0 <= shard_of(uid.encode("utf-8", "replace").decode(), shards) < shards


def test_subjects_never_change() -> None:
    assert subjects.command_subject(0, "u", "c") == "memlog.cmd.0.u.c"
    assert subjects.event_subject(2, subjects.memory("u", "m")) == "memlog.evt.2.u.memory.m"
    assert subjects.event_subject(2, subjects.app("u", "a")) == "memlog.evt.2.u.app.a"
    assert subjects.event_subject(2, subjects.user("u")) == "memlog.evt.2.u.user.u"
    assert subjects.event_subject(2, subjects.token("u", "t")) == "memlog.evt.2.u.token.t"
    assert subjects.event_subject(2, subjects.operation("u", "c")) == "memlog.evt.2.u.op.c"
    assert subjects.event_subject(2, subjects.access_rule("u", "r")) == "memlog.evt.2.u.access.r"
    assert subjects.event_subject(2, subjects.default_access("u")) == "memlog.evt.2.u.access.default"
    assert subjects.event_subject(2, subjects.settings("u")) == "memlog.evt.2.u.settings.all"
    assert subjects.event_subject(2, subjects.archive_policy("u", "p")) == "memlog.evt.2.u.policy.p"
    assert subjects.event_subject(2, subjects.source("u", "s")) == "memlog.evt.2.u.source.s"
    assert subjects.access_subject(1, "u", "a") == "memlog.access.1.u.a"
    assert subjects.key_subject("u") == "memlog.key.u"
    assert subjects.user_subject("h") == "memlog.user.h"
    assert subjects.log_start_subject(1) == "memlog.evt.1.system.log.start"


def test_no_subject_is_made_of_a_name_or_a_text() -> None:
    """What a subject is made of: shards, opaque ids, and names of Memlog's own parts."""
    ids = {"uid", "command_id", "aggregate", "app_id", "memory_id", "category_id", "name_hash"}
    ids |= {"rule_id", "policy_id", "source_id", "token_id"}
    parts = {"shard", "shards", "consumer", "projection", "service", "subject", "sequence"}
    for name, function in inspect.getmembers(subjects, inspect.isfunction):
        if function.__module__ != subjects.__name__:
            continue
        assert set(inspect.signature(function).parameters) <= ids | parts, name


@pytest.mark.parametrize("bad", ["", "a.b", "*", ">", "a b", "a\n", "a\tb", "é", "\x00"])
def test_an_id_that_would_change_a_subject_is_refused(bad: str) -> None:
    for make in (lambda: subjects.memory(UID, bad), lambda: subjects.app(UID, bad), lambda: subjects.memory(bad, "m")):
        with pytest.raises(InvalidInput):
            make()
    with pytest.raises(InvalidInput):
        Aggregate(UID, bad, "x")


def test_each_subject_belongs_to_one_stream() -> None:
    def streams_of(subject: str) -> list[str]:
        specs = [*streams.GLOBAL, *(spec for k in range(3) for spec in streams.of_shard(k, 1.0, 0.0))]
        return [spec.name for spec in specs if any(_matches(pattern, subject) for pattern in spec.subjects)]

    assert streams_of(subjects.command_subject(1, UID, "c")) == ["MEMLOG_COMMANDS_1"]
    assert streams_of(subjects.event_subject(1, subjects.memory(UID, "m"))) == ["MEMLOG_EVENTS_1"]
    assert streams_of(subjects.log_start_subject(2)) == ["MEMLOG_EVENTS_2"]
    assert streams_of(subjects.access_subject(2, UID, "a")) == ["MEMLOG_ACCESS_2"]
    assert streams_of(subjects.key_subject(UID)) == ["MEMLOG_KEYS"]
    assert streams_of(subjects.user_subject("abc")) == ["MEMLOG_USERS"]
    assert streams_of(f"{subjects.ROOT}.dead.memory-writer") == ["MEMLOG_DEAD"]
    event = subjects.event_subject(1, subjects.memory(UID, "m"))
    assert streams_of(subjects.dead_subject("index", event)) == ["MEMLOG_DEAD"]
    assert streams_of(subjects.dropped_subject("index", event, 7)) == ["MEMLOG_DROPPED"]
    for core in (
        subjects.announcement_subject("index", 0),
        subjects.position_request_subject("index", 0),
        subjects.health_request_subject("audit"),
        subjects.SEARCH,
    ):
        assert streams_of(core) == [], core


def test_the_truth_has_no_limit() -> None:
    spec = streams.events(0)
    assert (spec.max_age, spec.max_per_subject) == (0.0, -1)
    assert streams.commands(0).max_age == 30 * 86_400
    assert streams.KEYS.max_per_subject == 1


def _matches(pattern: str, subject: str) -> bool:
    wanted, tokens = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > place
        if place >= len(tokens) or token not in ("*", tokens[place]):
            return False
    return len(wanted) == len(tokens)

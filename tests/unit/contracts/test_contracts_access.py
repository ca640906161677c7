"""The decision who may read what, level by level; that the SQL and the index decide alike is tested with them."""

from dataclasses import replace
from typing import Any

import pytest
from contracts.access import Access, Asking, Readable, Rule, access_of, may_read
from contracts.api import SearchRequest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.guarantee("G8")

MEMORY = Readable("m", "writer", "active", ("food", "work"))
NOBODY = Asking("reader", running=True, owner=False, rules=(), default="allow")
ALLOW, DENY = Rule("allow"), Rule("deny")
ALLOW_M, DENY_M = Rule("allow", memory_id="m"), Rule("deny", memory_id="m")
ALLOW_FOOD, DENY_FOOD = Rule("allow", category_key="food"), Rule("deny", category_key="food")
ALLOW_WORK, DENY_WORK = Rule("allow", category_key="work"), Rule("deny", category_key="work")
ELSEWHERE = (Rule("deny", memory_id="n"), Rule("deny", category_key="travel"))


def asking(*rules: Rule, **other: Any) -> Asking:
    return replace(NOBODY, rules=rules, **other)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), True),
        (ELSEWHERE, True),
        ((DENY,), False),
        ((ALLOW, DENY), False),
        ((DENY_FOOD,), False),
        ((DENY, ALLOW_FOOD), True),
        ((DENY, ALLOW_FOOD, DENY_WORK), False),
        ((ALLOW, ALLOW_FOOD, ALLOW_WORK, DENY_M), False),
        ((DENY, DENY_FOOD, DENY_WORK, ALLOW_M), True),
        ((DENY, DENY_FOOD, ALLOW_M, DENY_M), False),
    ],
)
def test_the_narrowest_rules_decide_and_among_them_one_that_denies(rules: tuple[Rule, ...], expected: bool) -> None:
    assert may_read(asking(*rules), MEMORY) is expected


def test_without_a_rule_the_default_decides() -> None:
    assert may_read(asking(*ELSEWHERE), MEMORY)
    assert not may_read(asking(default="own"), MEMORY)
    assert may_read(asking(default="own", app_id="writer"), MEMORY)
    assert may_read(asking(ALLOW, default="own"), MEMORY)
    assert not may_read(asking(DENY, default="own", app_id="writer"), MEMORY)


@pytest.mark.parametrize("state", ["paused", "archived", "deleted", "erased", ""])
def test_what_is_not_active_is_read_by_nobody(state: str) -> None:
    for who in (asking(ALLOW_M), asking(owner=True)):
        assert not may_read(who, replace(MEMORY, state=state))


def test_an_app_that_is_paused_or_unknown_reads_nothing() -> None:
    for who in (asking(ALLOW_M, running=False), asking(owner=True, running=False)):
        assert not may_read(who, MEMORY)
        assert access_of(who) is None


def test_what_is_not_known_is_refused() -> None:
    unheard: Any = "perhaps"
    for who in (asking(default=unheard), asking(Rule(unheard)), asking(ALLOW, Rule(unheard, memory_id="m"))):
        assert not may_read(who, MEMORY)
        access = access_of(who)
        assert access is not None
        assert access.base == "none" or access.denied_memories == ("m",)


def test_no_rule_and_no_default_binds_the_owner() -> None:
    assert may_read(asking(DENY, DENY_M, owner=True, default="own"), MEMORY)


RULES = st.lists(st.sampled_from([ALLOW, DENY, ALLOW_M, DENY_M, ALLOW_FOOD, DENY_FOOD, ALLOW_WORK, DENY_WORK]))


@given(rules=RULES, data=st.data())
def test_the_order_of_rules_never_matters(rules: list[Rule], data: st.DataObject) -> None:
    others = data.draw(st.permutations(rules))
    assert may_read(asking(*rules), MEMORY) == may_read(asking(*others, *others), MEMORY)


def test_what_an_app_may_read_reaches_the_index_as_it_is() -> None:
    access = access_of(asking(ALLOW_M, DENY_FOOD, default="own"))
    assert access == Access("reader", "own", ("m",), (), (), ("food",))
    request = SearchRequest(uid="u", query="q", limit=1, access=access)
    assert SearchRequest.model_validate_json(request.model_dump_json()) == request

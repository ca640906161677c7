"""Data keys of users who came from another log: sealed anew, with the ids that they had."""

import pytest
from contracts.errors import ContentDamaged
from contracts.ids import app_id, memory_id
from runtime.keys import SealingKey

FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))


def test_an_identity_that_is_brought_along_leads_to_the_ids_that_it_always_led_to() -> None:
    old = SealingKey(FIRST)
    new = SealingKey(SECOND + old.identity)
    assert new.identity == old.identity != SealingKey(SECOND).identity
    assert memory_id(new.identity, "tea", 0) == memory_id(old.identity, "tea", 0)
    assert app_id(new.identity, "claude") == app_id(old.identity, "claude")


def test_sealing_does_not_depend_on_the_identity() -> None:
    old, new = SealingKey(FIRST), SealingKey(SECOND + SealingKey(FIRST).identity)
    sealed = new.seal(b"text", b"a")
    assert new.open(sealed, b"a") == SealingKey(SECOND).open(sealed, b"a") == b"text"
    assert new.tag("cache", "text") == SealingKey(SECOND).tag("cache", "text")
    with pytest.raises(ContentDamaged):
        old.open(sealed, b"a")

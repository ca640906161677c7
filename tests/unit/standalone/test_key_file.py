"""The file of a key export: opens with its passphrase only, and no change of it goes unseen."""

import json
import random

import pytest
from runtime.keys import MasterKey
from standalone import key_file
from standalone.failures import FileDamaged, FileUnusable, WrongPassphrase
from standalone.key_file import open_keys, seal_keys

SECRET = bytes(range(32))
MASTER = MasterKey(SECRET)
WRAPPED = {uid: MASTER.wrap(uid, bytes(32)) for uid in ("a" * 32, "b" * 32)}
PASSPHRASE = "Käse & Flüge ✈"


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal_keys(SECRET, MASTER.fingerprint, WRAPPED, 7, PASSPHRASE)


def test_the_keys_come_back_with_the_passphrase_however_it_is_composed(sealed: bytes) -> None:
    keys = open_keys(sealed, "Ka\u0308se & Flu\u0308ge ✈")
    assert (keys.master_secret, keys.wrapped, keys.last_sequence) == (SECRET, WRAPPED, 7)


def test_another_passphrase_does_not_open_it(sealed: bytes) -> None:
    with pytest.raises(WrongPassphrase):
        open_keys(sealed, PASSPHRASE + " ")


def test_no_key_stands_in_it_in_the_clear(sealed: bytes) -> None:
    assert SECRET.hex().encode() not in sealed
    assert all(uid.encode() not in sealed for uid in WRAPPED)


def test_a_file_that_is_cut_off_or_changed_anywhere_is_refused(sealed: bytes) -> None:
    chance = random.Random(20261122)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << chance.randrange(8)
        for damaged in (bytes(changed), sealed[:at]):
            with pytest.raises(FileUnusable) as refused:
                open_keys(damaged, PASSPHRASE)
            assert not isinstance(refused.value, WrongPassphrase)


def test_a_file_that_asks_for_endless_work_is_refused(sealed: bytes) -> None:
    # Whoever writes a file can also write its checksum.
    fields = json.loads(sealed)
    del fields["sha256"]
    with pytest.raises(FileUnusable, match="n"):
        open_keys(key_file._written({**fields, "n": 2**30}), PASSPHRASE)  # pyright: ignore[reportPrivateUsage]


def test_what_is_no_key_file_is_told_so() -> None:
    for other in (b"", b"{}", b"[]", b'{"format": "memlog-export"}', b"\xff\xfe"):
        with pytest.raises(FileUnusable, match="no file of"):
            open_keys(other, PASSPHRASE)


def test_damage_and_a_wrong_passphrase_are_told_apart(sealed: bytes) -> None:
    with pytest.raises(FileDamaged):
        open_keys(sealed.replace(b'"count": 2', b'"count": 3'), PASSPHRASE)

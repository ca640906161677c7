"""The master key's file, and what is sealed with keys."""

import json
import stat
from pathlib import Path

import pytest
from contracts.errors import ConfigurationError, ContentDamaged
from hypothesis import given
from hypothesis import strategies as st
from runtime.keys import MasterKey, SealingKey
from support.keys import KEY, OTHER_KEY

SECRET = bytes(range(32))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    MasterKey.create(path)
    return path


def test_a_new_master_key_can_be_read_by_its_owner_only(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(bytes.fromhex(file.read_text())) == 32
    assert [path.name for path in file.parent.iterdir()] == ["master.key"]


def test_each_new_master_key_is_another(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    MasterKey.create(other)
    assert MasterKey.load(file).fingerprint != MasterKey.load(other).fingerprint
    assert MasterKey.load(file).fingerprint == MasterKey.load(file).fingerprint


def test_a_master_key_is_never_overwritten(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(ConfigurationError, match="exists"):
        MasterKey.create(file)
    assert file.read_text() == before


def test_a_leftover_of_a_creation_that_was_cut_off_does_not_open_the_key_to_others(tmp_path: Path) -> None:
    leftover = tmp_path / "master.new"
    leftover.write_text("half")
    leftover.chmod(0o644)
    MasterKey.create(tmp_path / "master.key")
    MasterKey.load(tmp_path / "master.key")


def test_a_missing_master_key_says_how_to_restore_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is missing.*Put the file back.*MEMLOG_MASTER_KEY_FILE"):
        MasterKey.load(tmp_path / "master.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_master_key_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        MasterKey.load(file)


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"00" * 33, b"0" * 63, b"\xff\xfe", b"\n"])
def test_a_corrupt_master_key_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"master\.key"):
        MasterKey.load(file)


def test_a_folder_is_no_master_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        MasterKey.load(tmp_path)


def test_a_data_key_is_unwrapped_for_its_user_only() -> None:
    master = MasterKey(SECRET)
    wrapped = master.wrap("u1", b"k" * 32)
    assert b"k" * 32 not in wrapped
    assert master.unwrap("u1", wrapped) == b"k" * 32
    with pytest.raises(ContentDamaged):
        master.unwrap("u2", wrapped)


def test_another_master_key_is_named_as_the_reason() -> None:
    wrapped = MasterKey(SECRET).wrap("u1", b"k" * 32)
    with pytest.raises(ConfigurationError, match="restore the master key file"):
        MasterKey(bytes(32)).unwrap("u1", wrapped)


@pytest.mark.parametrize(
    "stored",
    [b"", b"garbage", b"[]", b"{}", b'{"master": "{f}"}', b'{"master": "{f}", "key": "zz"}',
     b'{"master": "{f}", "key": ""}', b'{"master": "{f}", "key": 5}'],
)  # fmt: skip
def test_a_damaged_data_key_says_so(stored: bytes) -> None:
    master = MasterKey(SECRET)
    with pytest.raises(ContentDamaged, match="key backup"):
        master.unwrap("u1", stored.replace(b"{f}", master.fingerprint.encode()))


def test_a_flipped_bit_of_a_data_key_is_noticed() -> None:
    master = MasterKey(SECRET)
    fields = json.loads(master.wrap("u1", b"k" * 32))
    raw = bytearray.fromhex(fields["key"])
    raw[20] ^= 1
    with pytest.raises(ContentDamaged):
        master.unwrap("u1", json.dumps(fields | {"key": raw.hex()}).encode())


def test_what_is_derived_from_a_secret_never_changes() -> None:
    """A change here would orphan every directory entry and every derived id."""
    assert MasterKey(SECRET).fingerprint == "391bfcf509d7044f"
    assert MasterKey(SECRET).name_hash("Ada") == "068e9d8516c93aeccb8d92c41faaa02d2b65494e290fc474b2bd76cc89f2d190"
    assert SealingKey(SECRET).identity.hex() == "0a5608346b313912c562a12bb6c502e4b8034fd6f20e300f9a1bc67db77bb4ab"


def test_a_name_hash_needs_the_key() -> None:
    assert MasterKey(SECRET).name_hash("Ada") != MasterKey(bytes(32)).name_hash("Ada")
    assert MasterKey(SECRET).name_hash("Ada") != MasterKey(SECRET).name_hash("ada")


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_is_sealed_opens_with_its_key_and_its_context(plaintext: bytes, context: bytes) -> None:
    sealed = KEY.seal(plaintext, context)
    assert KEY.open(sealed, context) == plaintext
    for key, other in ((OTHER_KEY, context), (KEY, context + b"x")):
        with pytest.raises(ContentDamaged):
            key.open(sealed, other)


@pytest.mark.parametrize("length", [0, 1, 7, 11, 12, 27])
def test_what_is_too_short_to_be_sealed_is_damaged(length: int) -> None:
    with pytest.raises(ContentDamaged):
        KEY.open(KEY.seal(b"text", b"")[:length], b"")

"""The file of a key export: the master key and all data keys, sealed with a passphrase.

One JSON object: how it is sealed in the clear, the keys as one AES-256-GCM ciphertext under a key that scrypt (RFC
7914) derives from the passphrase. What is in the clear is authenticated with it. `sha256` tells a damaged file from a
wrong passphrase.
"""

import base64
import hashlib
import json
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from standalone.failures import FileDamaged, FileUnusable, WrongPassphrase
from standalone.files import write_atomically
from standalone.home import Home

VERSION = 1
_RECORD = "keys-exported.json"


class _Sealing(BaseModel):
    """What is in the clear. The bounds of `n` are what one is willing to compute for a file from anywhere (1 GiB)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["memlog-keys"] = "memlog-keys"
    version: int = VERSION
    created_at: str
    master: str
    """Fingerprint of the master key."""
    count: int
    last_sequence: int
    kdf: Literal["scrypt"] = "scrypt"
    n: int = Field(default=2**17, ge=2**14, le=2**20)
    r: Literal[8] = 8
    p: Literal[1] = 1
    salt: str
    nonce: str


class _File(_Sealing):
    sealed: str


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a log. `wrapped` by uid, as MEMLOG_KEYS has them; `last_sequence` of that stream when they were read;
    `created_at` of the export (ISO 8601)."""

    master_secret: bytes
    wrapped: dict[str, bytes]
    last_sequence: int
    created_at: str


def seal_keys(
    master_secret: bytes, fingerprint: str, wrapped: dict[str, bytes], last_sequence: int, passphrase: str
) -> bytes:
    """The content of a key file."""
    clear = _Sealing(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        master=fingerprint,
        count=len(wrapped),
        last_sequence=last_sequence,
        salt=os.urandom(16).hex(),
        nonce=os.urandom(12).hex(),
    )
    content = {"master": master_secret.hex(), "keys": {uid: key.decode() for uid, key in wrapped.items()}}
    sealed = _cipher(clear, passphrase).encrypt(
        bytes.fromhex(clear.nonce), json.dumps(content).encode(), _canonical(clear)
    )
    return _written({**clear.model_dump(), "sealed": base64.b64encode(sealed).decode()})


def open_keys(raw: bytes, passphrase: str) -> Keys:
    """Raises `FileUnusable` for what is no key file, `FileDamaged`, `WrongPassphrase`."""
    try:
        fields = json.loads(raw)
        if fields["format"] != "memlog-keys":
            raise FileUnusable("this is no file of `memlog keys export`")
        if fields["version"] != VERSION:
            raise FileUnusable(f"the file has format version {fields['version']}, this Memlog reads {VERSION}")
    except (ValueError, KeyError, TypeError):
        raise FileUnusable("this is no file of `memlog keys export`, or it is cut off or changed") from None
    fields.pop("sha256", None)
    if raw != _written(fields):
        raise FileDamaged("the file was changed since it was made, or is cut off")
    try:
        file = _File.model_validate(fields)
        clear = _Sealing.model_validate(file.model_dump(exclude={"sealed"}))
        opened = _cipher(clear, passphrase).decrypt(
            bytes.fromhex(clear.nonce), base64.b64decode(file.sealed), _canonical(clear)
        )
    except InvalidTag:
        raise WrongPassphrase("the passphrase is not the one with which the keys were exported") from None
    except (ValidationError, ValueError) as error:
        raise FileUnusable(f"the key file cannot be read: {error}") from None
    content = json.loads(opened)
    wrapped = {uid: key.encode() for uid, key in content["keys"].items()}
    return Keys(bytes.fromhex(content["master"]), wrapped, clear.last_sequence, clear.created_at)


def note_export(home: Home, last_sequence: int) -> None:
    """Write down how far the keys of this home are exported."""
    write_atomically(home.root / _RECORD, json.dumps({"last_sequence": last_sequence}) + "\n")


def exported_up_to(home: Home) -> int:
    """The last sequence of MEMLOG_KEYS that was exported from this home; 0: nothing ever was."""
    try:
        return int(json.loads((home.root / _RECORD).read_text())["last_sequence"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _cipher(clear: _Sealing, passphrase: str) -> AESGCM:
    # Keyboards differ in how they compose letters.
    secret = unicodedata.normalize("NFC", passphrase).encode()
    return AESGCM(Scrypt(salt=bytes.fromhex(clear.salt), length=32, n=clear.n, r=clear.r, p=clear.p).derive(secret))


def _canonical(clear: _Sealing) -> bytes:
    return json.dumps(clear.model_dump(), sort_keys=True).encode()


def _written(fields: Mapping[str, object]) -> bytes:
    """The one way in which a file with these fields is written."""
    checksum = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return json.dumps({**fields, "sha256": checksum}, indent=1).encode() + b"\n"

"""Keys: a master key outside NATS wraps one data key a user; content is sealed with the data key (architecture §8)."""

import hashlib
import hmac
import json
import os
import stat
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from contracts.errors import ConfigurationError, ContentDamaged, KeyMissing
from contracts.streams import KEYS
from contracts.subjects import key_subject
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from runtime.errors import nats_errors
from runtime.nats import last_message
from runtime.publishing import publish_first

_NONCE = 12
_KEY = 32
_CACHED_KEYS = 4096


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"memlog/{purpose}".encode()).derive(key)


class SealingKey:
    """A user's data key in use: sealing (AES-256-GCM, random 96-bit nonce), derived ids and tags, from separate
    subkeys. A key of 64 bytes brings its identity with it: that of the log from which the user's ids came."""

    __slots__ = ("_aead", "_tags", "identity")

    def __init__(self, secret: bytes) -> None:
        secret, brought = secret[:_KEY], secret[_KEY:]
        self._aead = AESGCM(_derive(secret, "content"))
        self._tags = _derive(secret, "tags")
        self.identity = brought or _derive(secret, "identity")

    def tag(self, purpose: str, text: str) -> bytes:
        """16 bytes that are the same for the same text (HMAC-SHA256), and say nothing of it without the key. Those of
        different purposes cannot be compared; `purpose` holds no NUL."""
        message = f"{purpose}\x00{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._tags, message, "sha256")[:16]

    def seal(self, plaintext: bytes, associated: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, plaintext, associated)

    def open(self, ciphertext: bytes, associated: bytes) -> bytes:
        try:
            return self._aead.decrypt(ciphertext[:_NONCE], ciphertext[_NONCE:], associated)
        except (InvalidTag, ValueError):  # the latter for what is too short
            raise ContentDamaged(
                "sealed content does not open with its user's key: it is damaged or was moved"
            ) from None


class MasterKey:
    """Wraps data keys and hashes user names. 32 random bytes in a file that only its owner can read."""

    def __init__(self, secret: bytes) -> None:
        self._aead = AESGCM(_derive(secret, "wrap"))
        self._directory = _derive(secret, "directory")
        self.fingerprint = hashlib.sha256(_derive(secret, "fingerprint")).hexdigest()[:16]

    def name_hash(self, name: str) -> str:
        """What stands in the directory instead of a user's name."""
        return hmac.new(self._directory, name.encode(), hashlib.sha256).hexdigest()

    def wrap(self, uid: str, data_key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        wrapped = nonce + self._aead.encrypt(nonce, data_key, uid.encode())
        return json.dumps({"master": self.fingerprint, "key": wrapped.hex()}).encode()

    def unwrap(self, uid: str, stored: bytes) -> bytes:
        """Raises `ConfigurationError` when another master key wrapped it, `ContentDamaged`."""
        damaged = ContentDamaged("a stored data key is damaged: restore MEMLOG_KEYS from a key backup")
        try:
            fields = json.loads(stored)
            wrapped_by, raw = fields["master"], bytes.fromhex(fields["key"])
        except (ValueError, KeyError, TypeError):
            raise damaged from None
        if wrapped_by != self.fingerprint:
            raise ConfigurationError(
                f"data keys were wrapped by master key {wrapped_by}, this is {self.fingerprint}: "
                "restore the master key file that belongs to this log"
            )
        try:
            return self._aead.decrypt(raw[:_NONCE], raw[_NONCE:], uid.encode())
        except (InvalidTag, ValueError):
            raise damaged from None

    @classmethod
    def load(cls, path: Path, secrets: Path | None = None) -> "MasterKey":
        """Raises `ConfigurationError` when the file is missing, readable by others, or not a key. `secrets` is the
        folder in which containers find their secrets, with whatever mode these were mounted."""
        try:
            secret = bytes.fromhex(path.read_text().strip())
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            raise ConfigurationError(
                f"the master key {path} is missing. Without it nothing in the log can be read. Put the file back from "
                "your backup (or point MEMLOG_MASTER_KEY_FILE to it); only for a new, empty log is a new one made"
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the master key {path} cannot be read: {error}") from None
        if mode & 0o077 and not (secrets and path.resolve().is_relative_to(secrets.resolve())):
            raise ConfigurationError(f"the master key {path} can be read by others (mode {mode:o}): chmod 600 {path}")
        if len(secret) != _KEY:
            raise ConfigurationError(f"the master key {path} has {len(secret)} bytes, expected {_KEY}")
        return cls(secret)

    @staticmethod
    def create(path: Path, secret: bytes | None = None) -> None:
        """Write a new key, or `secret`, one that is put back: whole or not at all, mode 0600. For an empty log only:
        raises `ConfigurationError` where there is one already."""
        if path.exists():
            raise ConfigurationError(f"the master key {path} exists already; it is never overwritten")
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write((secret or os.urandom(_KEY)).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class KeyStore:
    """Data keys on the stream `MEMLOG_KEYS`: create, get, destroy."""

    def __init__(self, js: JetStreamContext, master: MasterKey) -> None:
        self._js = js
        self.master = master
        self._cache: OrderedDict[str, SealingKey] = OrderedDict()

    async def create(self, uid: str, identity: bytes = b"") -> SealingKey:
        """Make and store the user's data key; the existing one when there is one. `identity` (32 bytes): of the log
        from which the user comes, with ids that derive from it. Raises `Unavailable`."""
        stored = self.master.wrap(uid, os.urandom(_KEY) + identity)
        with nats_errors("store a data key"):
            await publish_first(self._js, key_subject(uid), stored)
        return await self.get(uid)

    async def get(self, uid: str) -> SealingKey:
        """The user's key, cached. Raises `KeyMissing` when it was destroyed or never made, `Unavailable`."""
        cached = self._cache.get(uid)
        if cached is not None:
            self._cache.move_to_end(uid)
            return cached
        with nats_errors("read a data key"):
            found = await last_message(self._js, KEYS.name, key_subject(uid))
        if found is None:
            raise KeyMissing("this user's content was erased: its key is destroyed")
        key = SealingKey(self.master.unwrap(uid, found.data or b""))
        self._cache[uid] = key
        if len(self._cache) > _CACHED_KEYS:
            self._cache.popitem(last=False)
        return key

    async def destroy(self, uid: str) -> None:
        """Make every copy of the user's content unreadable, for ever. Idempotent. Raises `Unavailable`.

        A secure delete by sequence: it overwrites the bytes on disk, which a KV bucket cannot do.
        """
        self._cache.pop(uid, None)
        with nats_errors("destroy a data key"):
            found = await last_message(self._js, KEYS.name, key_subject(uid))
            if found is not None:
                with suppress(NotFoundError):  # somebody was quicker
                    await self._js.delete_msg(KEYS.name, found.seq or 0)

    async def check_master(self) -> bool:
        """Whether a data key was ever stored; raises `ConfigurationError` when another master key wrapped the newest
        that is left."""
        with nats_errors("check the master key"):
            if (await self._js.stream_info(KEYS.name)).state.last_seq == 0:
                return False
            found = await last_message(self._js, KEYS.name, key_subject("*"))
        if found is None:  # all were destroyed
            return True
        self.master.unwrap((found.subject or "").rsplit(".", 1)[-1], found.data or b"")
        return True

"""`memlog keys export` and `import`, without the command line: keys into a file, and back, both checked."""

import json
from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts import subjects
from contracts.codec import DataKey, decode_event
from contracts.errors import ConfigurationError, Conflict
from contracts.streams import KEYS, USERS
from contracts.streams import events as events_stream
from nats.js.errors import NotFoundError
from runtime.errors import nats_errors
from runtime.event_store import EventStore
from runtime.keys import KeyStore, MasterKey
from runtime.nats import declare
from runtime.stream_reading import pages
from runtime.wrapped_keys import put_missing, read_all

from standalone.backup_streams import Show
from standalone.failures import CheckFailed, NotEmpty, file_errors
from standalone.files import appearing
from standalone.home import Home
from standalone.key_file import Keys, note_export, open_keys, seal_keys
from standalone.log_access import LogAccess, Server, opened_log, reach_server, serving

_SAMPLE = 3


@dataclass(frozen=True, slots=True)
class KeysImported:
    """What an import came to: data keys that were `stored` and that were `there` before; of how many users something
    sealed was `opened` with its key; users `without_key`, whose content cannot be read."""

    created_at: str
    stored: int
    there: int
    opened: int
    without_key: int
    new_master_key: bool


async def export_keys(home: Path | None, nats_url: str | None, file: Path, passphrase: str) -> Keys:
    """Write all keys into a new file, which has its name once it was read back and every data key unwrapped. Memlog may
    run meanwhile. Raises `FileUnusable`, `CheckFailed`, `ConfigurationError` (the master key), `NoLog`, `Unavailable`.
    """
    async with reach_server(home, nats_url) as server, _store(server) as events:
        path = _master_key_file(server)
        master = MasterKey.load(path)
        wrapped, last = await read_all(server.js, events)
        sealed = seal_keys(bytes.fromhex(path.read_text()), master.fingerprint, wrapped, last, passphrase)
        with file_errors(file), appearing(file) as (opened, temporary):
            opened.write(sealed)
            opened.flush()
            keys = read_keys(temporary, passphrase)
            if keys.wrapped != wrapped:
                raise CheckFailed("the keys that were read back are not those that were written")
            for uid, key in keys.wrapped.items():
                MasterKey(keys.master_secret).unwrap(uid, key)
        if server.home is not None:
            note_export(server.home, last)
        return keys


def read_keys(file: Path, passphrase: str) -> Keys:
    """The keys in a file. Raises `FileUnusable`, `FileDamaged`, `WrongPassphrase`."""
    with file_errors(file):
        return open_keys(file.read_bytes(), passphrase)


async def import_keys(home: Path | None, nats_url: str | None, keys: Keys, show: Show) -> KeysImported:
    """Bring keys back: into a home with no log yet, or one that was restored. A master key that is there must be the
    same; data keys that are there stay, missing ones are stored. Then something of each user is opened.

    Raises `NotEmpty` (another master key) and `Conflict` (another data key, or all of another log) before anything is
    stored, `ContentDamaged` (the keys do not open what is in the log).
    """
    master = MasterKey(keys.master_secret)
    async with _to_import_into(home, nats_url) as server, _store(server) as events:
        path = _master_key_file(server)
        new = not path.exists()
        if not new and MasterKey.load(path).fingerprint != master.fingerprint:
            raise NotEmpty(f"{path} is another master key; it is never overwritten. Nothing was changed")
        await declare(server.js, [KEYS], server.settings.replicas)
        there, _ = await read_all(server.js, events)
        for uid, key in there.items():
            master.unwrap(uid, key)
        await users_without_key(server, there.keys() | keys.wrapped.keys())
        stored = await put_missing(server.js, there, keys.wrapped, master)
        if new:
            MasterKey.create(path, keys.master_secret)
        now, last = await read_all(server.js, events)
        if server.home is not None and now.keys() <= keys.wrapped.keys():
            note_export(server.home, last)
        opened = await _open_samples(server, KeyStore(server.js, master), now.keys(), show)
        without = await users_without_key(server, now.keys())
    return KeysImported(keys.created_at, stored, len(there), opened, without, new)


async def users_without_key(server: Server, known: Set[str]) -> int:
    """How many users of the directory are not among those `known` by uid. Raises `Conflict` when none is: the keys are
    those of another log."""
    users = await _users(server)
    if users and not users & known:
        raise Conflict(f"these keys belong to another log: none of them is of one of its {len(users):,} users")
    return len(users - known)


async def _users(server: Server) -> set[str]:
    """The uids of the directory; none where there is no log yet."""
    with nats_errors("describe the directory"):
        try:
            last = (await server.js.stream_info(USERS.name)).state.last_seq
        except NotFoundError:
            return set()
    async with _store(server) as events:
        return {json.loads(m.data)["uid"] async for page in pages(events, USERS.name, 1, last) for m in page}


async def _open_samples(server: Server, keys: KeyStore, known: Set[str], show: Show) -> int:
    """Open something of each user whose key is known; of how many there was something. Raises `ContentDamaged`."""
    users = sorted(await _users(server) & known)
    if not users:
        return 0
    advance, opened = show("Opening", len(users)), 0
    async with opened_log(server) as log:
        for uid in users:
            opened += await _opens(log, uid, await keys.get(uid))
            advance(1)
    return opened


async def _opens(log: LogAccess, uid: str, key: DataKey) -> bool:
    """Whether there was something to open: the user's first events are sealed, names are content."""
    shard = subjects.shard_of(uid, log.shards)
    subject = subjects.events_of_user(shard, uid)
    found, _ = await log.events.read_page(events_stream(shard).name, subject, 1, _SAMPLE)
    for message in found:
        decode_event(message.data, key)
    return bool(found)


def _master_key_file(server: Server) -> Path:
    if server.master_key_file is None:
        raise ConfigurationError("MEMLOG_MASTER_KEY_FILE is not set: it says where the master key is, or has to be put")
    return server.master_key_file


@asynccontextmanager
async def _to_import_into(home: Path | None, nats_url: str | None) -> AsyncGenerator[Server]:
    if nats_url is not None or Home.at(home).has_log():
        async with reach_server(home, nats_url) as server:
            yield server
        return
    with Home.open(home) as opened:
        async with serving(opened) as server:
            yield server


@asynccontextmanager
async def _store(server: Server) -> AsyncGenerator[EventStore]:
    events = EventStore(server.client, server.js, 1)
    await events.open()
    try:
        yield events
    finally:
        await events.close()

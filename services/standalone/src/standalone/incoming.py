"""A log that comes from outside into an empty MEMLOG_HOME: prepared beside, then there in one step, or not at all."""

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from contracts.streams import KEYS
from contracts.subjects import key_subject
from runtime.event_store import EventStore
from runtime.nats import declare
from runtime.wrapped_keys import read_all

from standalone.failures import NotEmpty
from standalone.files import sync_folder, sync_tree
from standalone.home import Home
from standalone.leftovers import end_leftovers
from standalone.log_access import Server, serving, staged, staging_home

_FOLDER = "incoming"


@asynccontextmanager
async def incoming_log(path: Path | None, *, keeps_keys: bool) -> AsyncGenerator[Server]:
    """An empty server to bring a log into, which is the home's once the block ends well. When the block fails, or all
    is killed, the home has no log, as before. With `keeps_keys`, data keys may be there already, and stay.

    The home is locked meanwhile. Raises `NotEmpty`, `HomeInUse`, `HomeUnusable`.
    """
    with Home.open(path) as home:
        _require_empty(home, keys_too=not keeps_keys)
        keys = await _keys(home)
        folder = home.root / _FOLDER
        staging = staging_home(folder, home.lock)
        end_leftovers(staging.run)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            async with staged(folder, home.lock) as server:
                if keys:
                    await declare(server.js, [KEYS], 1)
                    for subject, key in keys:
                        await server.js.publish(subject, key)
                yield server
            sync_tree(staging.nats)
            home.nats.rename(folder / "before")
            staging.nats.rename(home.nats)
            sync_folder(home.root)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _require_empty(home: Home, *, keys_too: bool) -> None:
    streams = {path.name for path in home.nats.glob("jetstream/*/streams/*")}
    if not keys_too:
        streams.discard(KEYS.name)
    full = [f"nats/ (with {', '.join(sorted(streams))})"] if streams else []
    full += [f"{folder.name}/" for folder in (home.postgres, home.index) if folder.is_dir() and any(folder.iterdir())]
    if full:
        raise NotEmpty(
            f"MEMLOG_HOME {home.root} is not empty: it has {' and '.join(full)}. "
            "Choose a new folder, or move these away"
        )


async def _keys(home: Home) -> list[tuple[str, bytes]]:
    if not any(home.nats.glob(f"jetstream/*/streams/{KEYS.name}")):
        return []
    async with serving(home) as server:
        events = EventStore(server.client, server.js, 1)
        await events.open()
        wrapped, _ = await read_all(server.js, events)
        return [(key_subject(uid), key) for uid, key in wrapped.items()]

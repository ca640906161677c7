"""Homes on which nothing runs: their log, their files."""

import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from runtime.keys import MasterKey
from runtime.stream_reading import digest
from runtime.wrapped_keys import read_all
from standalone.backup_streams import streams_in_order
from standalone.home import Home
from standalone.key_file import Keys
from standalone.nats_server import nats_server
from support.servers import Log, opened, settings_for


def quiet(doing: str, total: int) -> Callable[[int], object]:
    return lambda steps: None


@asynccontextmanager
async def at(home: Path, shards: int = 1) -> AsyncGenerator[Log]:
    """The log of a home, alone on its server."""
    with Home.open(home) as opened_home:
        if not opened_home.master_key.exists():
            MasterKey.create(opened_home.master_key)
        async with nats_server(opened_home) as server, opened(settings_for(opened_home, server, shards=shards)) as log:
            yield log


async def content(log: Log) -> dict[str, str]:
    """What each stream of a backup holds, as a hash."""
    found: dict[str, str] = {}
    for stream in streams_in_order(log.shards):
        last = await log.events.last_sequence(stream)
        found[stream] = f"{last} {(await digest(log.events, stream, 1, last)).hexdigest()}"
    return found


def in_folder(folder: Path) -> dict[str, int]:
    """What stands in a folder, with its mode."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} if folder.is_dir() else {}


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def keys_of(log: Log, home: Path) -> Keys:
    """As an export of the keys would bring them."""
    wrapped, last = await read_all(log.js, log.events)
    return Keys(bytes.fromhex((home / "master.key").read_text()), wrapped, last, "2026-11-22T20:00:00+00:00")

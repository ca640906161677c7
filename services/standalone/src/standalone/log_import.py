"""`memlog import`, without the command line: a log made anew from an export, in an empty home."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from contracts.codec import Undecodable
from contracts.errors import ConcurrencyConflict, KeyMissing
from memory_writer.log_import import ImportedMessage, LogImport
from runtime.event_store import EventStore
from runtime.keys import KeyStore, MasterKey
from runtime.log_checks import open_log
from runtime.nats import declare_all
from runtime.publishing import publisher
from runtime.settings import load_settings

from standalone.backup_streams import Show
from standalone.export_file import End, ExportReader, LogMessage, User
from standalone.failures import CheckFailed, FileDamaged
from standalone.home import Home
from standalone.incoming import incoming_log
from standalone.log_access import Server, opened_log
from standalone.log_export import write_export

_BATCH = 256
_BATCH_BYTES = 4 * 1024 * 1024


async def import_log(home: Path | None, file: BinaryIO, name: str, size: int, show: Show) -> End:
    """Make the log of an empty home from an export: all of it, or nothing. Events keep their order and ids, and their
    sequences where the number of shards is that of the export (MEMLOG_SHARDS, if it is set, may say another). `size`
    of the file in bytes, for the progress.

    Raises `NotEmpty`, `FileUnusable`, `FileDamaged`, `CheckFailed`, `HomeInUse`, `Unavailable`.
    """
    reader = ExportReader(file, name)
    settings = load_settings()
    if "shards" not in settings.model_fields_set:
        settings = settings.model_copy(update={"shards": reader.header.shards})
    path = settings.master_key_file or Home.at(home).master_key
    async with incoming_log(home, keeps_keys=False) as staged:
        new = not path.exists()
        if new:
            MasterKey.create(path)
        try:
            server = replace(staged, settings=settings.model_copy(update={"master_key_file": path}))
            await _append(server, KeyStore(server.js, MasterKey.load(path)), reader, show("Importing", size))
            return await _compare(server, reader, show)
        except BaseException:
            if new:
                path.unlink(missing_ok=True)
            raise


async def _append(server: Server, keys: KeyStore, reader: ExportReader, advance: Callable[[int], object]) -> None:
    shards = server.settings.shards
    await declare_all(server.js, server.settings, shards)
    store = EventStore(server.client, server.js, shards)
    await store.open()
    try:
        await open_log(server.js, store, shards)
    finally:
        await store.close()
    async with publisher(server.client) as publishing:
        log = LogImport(publishing, keys, shards)
        try:
            for batch, size in _batches(reader, keeps_sequences=shards == reader.header.shards):
                for user in batch:
                    if isinstance(user, User):
                        await log.user(user.uid, bytes.fromhex(user.identity))
                await log.append([_message(line) for line in batch if isinstance(line, LogMessage)])
                advance(size)
        except (Undecodable, KeyMissing, ConcurrencyConflict, ValueError, KeyError) as error:
            raise FileDamaged(f"{reader.name} does not hold what an export holds: {error}") from error


def _batches(reader: ExportReader, *, keeps_sequences: bool) -> Iterator[tuple[list[User | LogMessage], int]]:
    """Lines in order, with their bytes: so many that they are worth sending, and few enough to hold."""
    batch: list[User | LogMessage] = []
    size = 0
    last = dict.fromkeys(range(reader.header.shards), 1)
    for line, line_size in reader.lines():
        if isinstance(line, LogMessage) and line.kind == "event" and keeps_sequences:
            if line.sequence != last.get(line.shard, 0) + 1:
                raise FileDamaged(f"{reader.name} lacks the events before {line.sequence} of shard {line.shard}")
            last[line.shard] = line.sequence
        batch.append(line)
        size += line_size
        if len(batch) >= _BATCH or size >= _BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    yield batch, size


def _message(line: LogMessage) -> ImportedMessage:
    return ImportedMessage(line.kind, line.subject, line.recorded_at, line.headers, line.envelope(), line.content)


async def _compare(server: Server, reader: ExportReader, show: Show) -> End:
    """What the new log would export is what was imported; where shards differ, at least as much."""
    assert reader.end is not None
    async with opened_log(server) as log:
        with _nowhere() as nowhere:
            again = await write_export(log, nowhere, show, with_accesses=reader.header.with_accesses, audited=False)
    found, should = again.end, reader.end
    same = found.content == should.content or server.settings.shards != reader.header.shards
    counts = (found.users, found.events, found.accesses)
    if not same or counts != (should.users, should.events, should.accesses):
        raise CheckFailed(f"the log that was made of {reader.name} does not hold what the file holds")
    return should


def _nowhere() -> BinaryIO:
    return Path(os.devnull).open("wb")

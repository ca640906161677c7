"""`memlog backup` and `memlog restore`, without the command line: the file, the check, the home."""

import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nats.js.errors import NotFoundError
from runtime.errors import NATS_FAILURES, nats_errors
from runtime.keys import MasterKey
from runtime.settings import load_settings
from runtime.wrapped_keys import read_all

from standalone.backup_file import BackupReader, BackupWriter, Manifest
from standalone.backup_streams import Show, restore_streams, streams_in_order, write_backup
from standalone.failures import NotEmpty, file_errors
from standalone.files import appearing
from standalone.home import Home
from standalone.incoming import incoming_log
from standalone.key_exchange import users_without_key
from standalone.key_file import exported_up_to
from standalone.log_access import Server, opened_log, reach_log, reach_server, staged


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was made. `keys_exported` is the sequence of MEMLOG_KEYS up to which keys were exported from this
    home, None where that is not known (a log in no home)."""

    file: Path
    size: int
    manifest: Manifest
    keys_exported: int | None


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that is a log again. `without_key`: users whose keys are not there, None when no key is there yet."""

    manifest: Manifest
    without_key: int | None


async def back_up(home: Path | None, nats_url: str | None, file: Path, show: Show, *, check: bool = True) -> BackedUp:
    """Write the log into a new file, which has its name once it was checked (unless not wanted): read again, and
    restored on the side. Memlog may run meanwhile.

    Raises `FileUnusable`, `CheckFailed`, `SnapshotFailed`, and what `reach_log` raises.
    """
    with file_errors(file), appearing(file) as (opened, temporary):
        async with reach_log(home, nats_url) as log:
            manifest = await write_backup(log, BackupWriter(opened), show)
            exported = None if log.home is None else exported_up_to(log.home)
        if check:
            await check_backup(temporary, show)
        size = temporary.stat().st_size
    return BackedUp(file, size, manifest, exported)


async def check_backup(file: Path, show: Show) -> None:
    """Read a backup, and restore it into a server of its own beside the file, gone afterwards: the one proof that it
    can be. Raises `FileDamaged`, `CheckFailed`, `SnapshotFailed`."""
    with _read(file, show) as backup, tempfile.TemporaryDirectory(prefix=".memlog-check-", dir=file.parent) as folder:
        async with staged(Path(folder) / "home") as server:
            await restore_streams(server, backup, show)


async def bring_back(home: Path | None, nats_url: str | None, file: Path, show: Show) -> Restored:
    """Restore a backup into an empty home, or an empty NATS server; all of it, or nothing. Keys that were imported
    before have to be those of this log.

    Raises `FileUnusable`, `FileDamaged`, `NotEmpty`, `Conflict` (other keys), `CheckFailed`, `SnapshotFailed`.
    """
    with _read(file, show) as backup:
        if nats_url is None:
            _require_its_key(load_settings().master_key_file or Home.at(home).master_key, backup.manifest)
            async with incoming_log(home, keeps_keys=True) as server:
                return await _restored(server, backup, show, None)
        async with reach_server(None, nats_url) as server, _only_if_well(server, backup.manifest):
            return await _restored(server, backup, show, server.settings.replicas)


async def _restored(server: Server, backup: BackupReader, show: Show, replicas: int | None) -> Restored:
    await restore_streams(server, backup, show, replicas)
    async with opened_log(server) as log:
        keys, _ = await read_all(server.js, log.events)
    return Restored(backup.manifest, await users_without_key(server, keys.keys()) if keys else None)


def _require_its_key(path: Path, manifest: Manifest) -> None:
    wanted = manifest.keys.master
    if wanted is not None and path.exists() and (found := MasterKey.load(path).fingerprint) != wanted:
        raise NotEmpty(f"{path} is the master key of another log: it is {found}, and this backup needs {wanted}")


@asynccontextmanager
async def _only_if_well(server: Server, manifest: Manifest) -> AsyncGenerator[None]:
    """What a restore that fails has made on a server is deleted again."""
    wanted = streams_in_order(manifest.shards)
    for name in wanted:
        with nats_errors("say which streams it has"), suppress(NotFoundError):
            await server.js.stream_info(name)
            raise NotEmpty(f"the NATS server has a stream {name} already: stop Memlog there, and delete its streams")
    try:
        yield
    except BaseException:
        for name in wanted:
            try:
                await server.js.delete_stream(name)
            except NotFoundError:
                continue
            except NATS_FAILURES:
                break
        raise


@contextmanager
def _read(file: Path, show: Show) -> Generator[BackupReader]:
    with file_errors(file):
        size = file.stat().st_size
    with BackupReader(file, show("Verifying", size)) as backup:
        yield backup

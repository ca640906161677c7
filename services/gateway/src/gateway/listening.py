"""Where the gateway listens, and where it must not."""

import ipaddress
import socket
from functools import lru_cache

from contracts.errors import ConfigurationError


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether a host name or address can only mean this machine. Nothing is resolved."""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def check_bind(host: str, *, authenticated: bool) -> None:
    """Raises `ConfigurationError` for an address that others can reach while nothing asks who they are."""
    if not authenticated and not is_loopback(host.lower()):
        raise ConfigurationError(
            f"refusing to listen on '{host}': without authentication everyone who can reach that address could read"
            " and delete every memory. Listen on 127.0.0.1 (MEMLOG_HOST=127.0.0.1), or turn authentication on"
        )


def check_fixtures(host: str, *, fixtures: bool) -> None:
    """Raises `ConfigurationError` for fixtures of tests where others can reach them."""
    if fixtures and not is_loopback(host.lower()):
        raise ConfigurationError(
            f"refusing to listen on '{host}' with the conformance suite's fixtures: they are for tests. Unset"
            " MEMLOG_CONFORMANCE_FIXTURES"
        )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, opened before anything else is started, so that a taken port is noticed first.

    Raises `ConfigurationError` for a taken port or an address that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY on what it accepts; else each answer on a kept connection waits
    # for the client's delayed acknowledgement of its headers, 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}. Another program (perhaps another Memlog) uses it; "
            f"stop that one, or choose another port: MEMLOG_PORT={port + 1}"
        ) from None
    return listener

"""NATS failures in Memlog's own terms, in one place."""

from collections.abc import Generator
from contextlib import contextmanager

import nats.errors
from contracts.errors import Unavailable

WRONG_LAST_SEQUENCE = 10071
"""JetStream's error code: an expected last (subject) sequence did not hold."""

UNDECIDED = 10164
"""JetStream's error code, from streams with replicas: another message is on its way to the same subject."""

NO_MESSAGE = 10037
"""JetStream's error code: the stream is there, and has no such message."""

NO_STORE = 10049
"""JetStream's error code: a stream's files cannot be made."""

STREAM_EXISTS = 10058
"""JetStream's error code: there is a stream of that name, with other settings."""

STREAM_OFFLINE = 10194
"""JetStream's error code: the server has the stream, and does not open it."""

NATS_FAILURES = (nats.errors.Error, TimeoutError, OSError)
"""What any NATS call may raise when the server is gone, slow or refuses."""


@contextmanager
def nats_errors(doing: str) -> Generator[None]:
    """Turn NATS failures inside into `Unavailable`, saying what was being done."""
    try:
        yield
    except NATS_FAILURES as error:
        raise Unavailable(f"NATS did not {doing}: {error or type(error).__name__}") from error

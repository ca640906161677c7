"""Reading a whole stream in order, in memory that does not grow with it; and what two readings have to agree on."""

import hashlib
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from runtime.event_store import EventStore, StoredMessage

RECORDED_AT = "Memlog-Recorded-At"
"""Header of an imported message: when it was first recorded."""
_PAGE = 512
_ADDED_ON_READING = frozenset(
    {
        "Nats-Stream",
        "Nats-Subject",
        "Nats-Sequence",
        "Nats-Time-Stamp",
        "Nats-Num-Pending",
        "Nats-Last-Sequence",
        "Nats-UpTo-Sequence",
    }
)


async def pages(events: EventStore, stream: str, first: int, last: int) -> AsyncGenerator[list[StoredMessage]]:
    """All messages of a stream from sequence `first` to `last`, a page at a time, none of them empty. Raises
    `Unavailable`."""
    while first <= last:
        page, pending = await events.read_page(stream, ">", first, _PAGE)
        page = [message for message in page if message.sequence <= last]
        if not page:
            return
        yield page
        if pending == 0:
            return
        first = page[-1].sequence + 1


def own_headers(message: StoredMessage) -> dict[str, str]:
    """The headers that a message was published with."""
    return {name: value for name, value in message.headers.items() if name not in _ADDED_ON_READING}


def recorded_at(message: StoredMessage) -> str:
    """The stream's own timestamp in full: RFC 3339, nanoseconds."""
    return message.headers["Nats-Time-Stamp"]


def first_recorded_at(message: StoredMessage) -> str:
    """When the message was recorded in the log that it comes from, if it was imported; else in this one."""
    return message.headers.get(RECORDED_AT) or recorded_at(message)


class Digest:
    """SHA-256 over messages in order: sequence, time, subject, headers and bytes of each. `first` is the sequence of
    the first one; 0: there was none."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self.first = 0
        self.messages = 0

    def add(self, message: StoredMessage) -> None:
        self.first = self.first or message.sequence
        self.messages += 1
        headers = "".join(f"{name}: {value}\n" for name, value in sorted(own_headers(message).items()))
        for part in (str(message.sequence), recorded_at(message), message.subject, headers):
            encoded = part.encode()
            self._sum.update(len(encoded).to_bytes(4, "big") + encoded)
        self._sum.update(hashlib.sha256(message.data).digest())

    def hexdigest(self) -> str:
        return self._sum.hexdigest()


async def digest(
    events: EventStore,
    stream: str,
    first: int,
    last: int,
    *,
    since: datetime | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> Digest:
    """The digest of the messages from sequence `first` to `last`, without those at the beginning that were recorded
    before `since`; `advance` is told how many messages were read. Raises `Unavailable`."""
    total = Digest()
    async for page in pages(events, stream, first, last):
        for message in page:
            if since is None or total.messages or message.recorded_at >= since:
                total.add(message)
        advance(len(page))
    return total

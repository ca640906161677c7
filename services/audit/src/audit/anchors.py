"""Anchors: the heads of all chains, kept in a file (and by whoever copies it), and compared with the chains later."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from pathlib import Path

import structlog
from contracts.codec import timestamp
from contracts.errors import InvalidInput, MemlogError
from contracts.positions import message_hash
from contracts.streams import ACCESS_LOG, READ_MODELS, access, events
from contracts.verification import Anchor, AnchorReply, ChainHead, Difference
from pydantic import ValidationError
from runtime.clock import utc_now
from runtime.event_store import EventStore
from runtime.log_checks import LogIdentity
from runtime.postgres import Pool
from runtime.stream_reading import pages

from audit.chain import link
from audit.trail_reading import TrailRows, projection_of
from audit.verification import against

log = structlog.get_logger()
_LINES = 500
_FIRST_S = 60.0
"""A new log does not wait for its first anchor as long as for the next."""


class Anchors:
    """Makes and checks anchors of the log. Methods raise `Unavailable`."""

    def __init__(self, pool: Pool, events: EventStore, identities: Sequence[LogIdentity]) -> None:
        self._pool = pool
        self._events = events
        self._incarnations = {identity.shard: identity.incarnation for identity in identities}

    async def current(self) -> Anchor:
        """The heads as they stand."""
        heads: list[ChainHead] = []
        for shard, incarnation in self._incarnations.items():
            for projection in (READ_MODELS, ACCESS_LOG):
                rows = TrailRows(self._pool, projection, shard)
                head = await rows.head()
                heads.append(
                    ChainHead(
                        stream=rows.stream,
                        shard=shard,
                        incarnation=incarnation,
                        sequence=head.sequence,
                        head=head.chain,
                    )
                )
        return Anchor(time=timestamp(utc_now()), heads=heads)

    async def check(self, heads: Sequence[ChainHead]) -> AnchorReply:
        """Whether these heads are in the chains; the first that is not. Raises `InvalidInput` for a stream that has
        no chain."""
        checked = 0
        for (stream, shard), of_stream in groupby(sorted(heads, key=_by_stream), key=lambda h: (h.stream, h.shard)):
            if stream not in (events(shard).name, access(shard).name):
                raise InvalidInput(f"'{stream}' of shard {shard} has no audit chain")
            wanted = list(of_stream)
            last = await self._events.last_sequence(stream) if shard in self._incarnations else 0
            chains = await self._chains(stream, shard, [head.sequence for head in wanted if head.sequence <= last])
            for head in wanted:
                incarnation = self._incarnations.get(shard, "")
                difference = against(head, incarnation, chains.get(head.sequence), last)
                if difference is not None:
                    return AnchorReply(checked=checked, difference=difference)
                checked += 1
        return AnchorReply(checked=checked)

    async def _chains(self, stream: str, shard: int, sequences: Sequence[int]) -> dict[int, str]:
        """The chain at these sequences; behind the last row (the audit is catching up), as the log leads to it."""
        rows = TrailRows(self._pool, projection_of(stream), shard)
        head = await rows.head()
        found = dict(await rows.chains(sequences))
        behind = {sequence for sequence in sequences if sequence > head.sequence}
        chain = head.chain
        async for page in pages(self._events, stream, head.sequence + 1, max(behind, default=0)):
            for message in page:
                chain = link(chain, message.sequence, message_hash(message.data))
                if message.sequence in behind:
                    found[message.sequence] = chain
        return found


class AnchorFile:
    """A file with an anchor a line (JSON). It only grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: Sequence[ChainHead] = ()

    async def keep(self, anchors: Anchors, every: float) -> None:
        """Append an anchor now, every `every` seconds, and when cancelled, unless nothing was recorded since the last.
        One that cannot be written is tried again at the next time."""
        try:
            while True:
                await self._append_current(anchors)
                await asyncio.sleep(every if self._written else min(every, _FIRST_S))
        finally:
            # Whoever ends this may cancel more than once.
            with suppress(asyncio.CancelledError):
                await asyncio.shield(self._append_current(anchors))

    async def _append_current(self, anchors: Anchors) -> None:
        try:
            anchor = await anchors.current()
            if anchor.heads == self._written or all(head.sequence == 0 for head in anchor.heads):
                return
            await asyncio.to_thread(append, self.path, anchor)
            self._written = anchor.heads
        except (MemlogError, OSError) as error:
            log.warning("anchor_not_written", file=str(self.path), reason=str(error))

    async def check(self, anchors: Anchors, advance: Callable[[int], object]) -> Difference | None:
        """Every head in the file against the chains; `advance` is told how many lines were checked. Raises `OSError`,
        `Unavailable`."""
        lines = read(self.path)
        while chunk := list(islice(lines, _LINES)):
            readable = [line for line in chunk if isinstance(line, Anchor)]
            reply = await anchors.check([head for line in readable for head in line.heads])
            if reply.difference is not None:
                return reply.difference
            unreadable = next((line for line in chunk if isinstance(line, Difference)), None)
            if unreadable is not None:
                return unreadable
            advance(len(chunk))
        return None


def append(path: Path, anchor: Anchor) -> None:
    """Write an anchor behind those that the file has, onto the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "rb+") as file:
        size = file.seek(0, os.SEEK_END)
        # A line that a crash cut off stays as it is, a line of its own.
        broken = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write(b"\n" * broken + anchor.model_dump_json().encode() + b"\n")
        file.flush()
        os.fsync(descriptor)


def read(path: Path) -> Iterator[Anchor | Difference]:
    """The anchors of a file, in order; a line that is none is a difference. Raises `OSError`."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield Anchor.model_validate_json(line)
            except ValidationError:
                yield Difference(
                    kind="anchor_unreadable",
                    where=str(path),
                    sequence=number,
                    detail=f"line {number} is no anchor: cut off in a crash, or changed",
                )


def _by_stream(head: ChainHead) -> tuple[str, int, int]:
    return head.stream, head.shard, head.sequence

"""Where the generations of the index are kept: in folders (`edge_shelf`), or on a Qdrant server (`server_shelf`)."""

from collections.abc import Sequence
from typing import Protocol

from indexer.index import MemoryIndex
from indexer.record import Record


class Shelf(Protocol):
    """The stores of all generations, and the register of them, which outlives a crash. Methods raise `Unavailable` when
    the store does not answer."""

    kind: str
    """Which store this is, for health."""

    async def records(self) -> Sequence[Record]:
        """All generations, by number. At most one serves; none before the first one is made."""
        ...

    async def serving(self) -> int | None:
        """The number of the one that reads see, and that may be another one at the next question."""
        ...

    async def write(self, record: Record) -> None:
        """Register a generation, or change what is known of it; its state must not become, nor have been, `serving`,
        but for the first one."""
        ...

    async def switch(self, record: Record, before: Record) -> None:
        """In one step `record`, whose state is `serving`, is what reads see, and not `before`, as it is to be from then
        on."""
        ...

    async def open_index(self, record: Record) -> MemoryIndex:
        """The generation's store, made if it is not there. Raises `Unavailable` also when another process has it."""
        ...

    async def remove(self, number: int) -> None:
        """Remove the generation and what it holds, if it is there; it is not open, and does not serve."""
        ...

    async def close(self) -> None: ...

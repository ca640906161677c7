"""The generations of the index that this process has open, for those who search them and those who feed them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from indexer.embedding.late import LateEmbedding
from indexer.index import MemoryIndex
from indexer.record import Record
from indexer.store import IndexStore


@dataclass(slots=True)
class OpenGeneration:
    """Index and embedder belong together: a query is embedded by the embedder of the generation that it searches."""

    record: Record
    index: MemoryIndex
    embedding: LateEmbedding
    store: IndexStore
    users: int = 0
    fed: bool = False

    @property
    def number(self) -> int:
        return self.record.number


class OpenGenerations:
    """Each is open once, and closed when nobody uses it any more. `changing` is held while something is opened or
    closed, and by whoever changes the register."""

    def __init__(self, open_: Callable[[int], Awaitable[OpenGeneration]]) -> None:
        self.changing = asyncio.Lock()
        self._open = open_
        self._opened: dict[int, OpenGeneration] = {}

    def get(self, number: int) -> OpenGeneration | None:
        """The generation, if it is open."""
        return self._opened.get(number)

    @asynccontextmanager
    async def using(self, number: int) -> AsyncGenerator[OpenGeneration]:
        """Have it open for the length of the block."""
        async with self.changing:
            opened = await self.take(number)
        try:
            yield opened
        finally:
            await self.give_back(opened)

    async def take(self, number: int) -> OpenGeneration:
        """One user more; the caller holds `changing`."""
        opened = self._opened.get(number)
        if opened is None:
            opened = self._opened[number] = await self._open(number)
        opened.users += 1
        return opened

    async def give_back(self, opened: OpenGeneration) -> None:
        """One user less; the caller does not hold `changing`."""
        if opened.users > 1:
            opened.users -= 1
            return
        async with self.changing:
            await self.leave(opened)

    async def leave(self, opened: OpenGeneration) -> None:
        """As `give_back`, of one who holds `changing`."""
        opened.users -= 1
        if opened.users == 0:
            await self._close(opened)

    async def close(self) -> None:
        """Close all, whoever uses them."""
        async with self.changing:
            for opened in list(self._opened.values()):
                await self._close(opened)

    async def _close(self, opened: OpenGeneration) -> None:
        del self._opened[opened.number]
        await opened.embedding.close()
        await opened.index.close()

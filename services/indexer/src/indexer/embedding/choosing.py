"""Which embedder is wanted, and opening it: checked before anything depends on it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import InvalidInput
from pydantic import SecretStr

from indexer.embedding.embedder import Embedding
from indexer.embedding.fast_embedder import FastEmbedder
from indexer.embedding.micro_batcher import MicroBatcher
from indexer.embedding.minilm import MiniLM
from indexer.embedding.openai_embedder import OPENAI_URL, OpenAIEmbedder
from indexer.embedding.remote import RemoteEmbedding

_SPEC = re.compile(r"minilm|(fastembed|openai):\S+")
_PLACE = re.compile(r"(?<=[^:])@(?P<url>https?://[^/@\s]+(/\S*)?)$")  # shown and kept: it must not hold a password


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """`spec`: `minilm`, `fastembed:<model>` or `openai:<model>`; `base_url` of the endpoint, of the last kind only."""

    spec: str
    base_url: str | None = None

    @property
    def model(self) -> str:
        return self.spec.partition(":")[2]


MINILM = EmbedderChoice("minilm")


@dataclass(frozen=True, slots=True)
class EmbedderOptions:
    """What is needed to open one, besides the choice. `api_key` is for `base_url` alone, `openai_key` for OpenAI.
    `graphs`: where MiniLM's graph is, or is made, when not in `cache`."""

    cache: Path
    graphs: Path | None = None
    threads: int = 1
    base_url: str = OPENAI_URL
    api_key: SecretStr | None = None
    openai_key: SecretStr | None = None

    def choice(self, spec: str) -> EmbedderChoice:
        """The embedder that `spec` means here; `openai:<model>@<base URL>` says where it is. Raises `InvalidInput`."""
        if not _SPEC.fullmatch(spec):
            raise InvalidInput(f"'{spec[:80]}' is no embedder: it is 'minilm', 'fastembed:<model>' or 'openai:<model>'")
        if not spec.startswith("openai:"):
            return EmbedderChoice(spec)
        place = _PLACE.search(spec)
        if place is None:
            if "@http" in spec:
                raise InvalidInput("the base URL behind the model's name is wrong, or holds a user or password")
            return EmbedderChoice(spec, self.base_url)
        return EmbedderChoice(spec[: place.start()], place["url"].rstrip("/"))

    def key_for(self, base_url: str) -> str | None:
        """A key is shown to the endpoint that it was meant for, and to no other."""
        keys = {OPENAI_URL: self.openai_key}
        if self.api_key is not None:
            keys[self.base_url] = self.api_key
        found = keys.get(base_url)
        return None if found is None else found.get_secret_value()


async def open_embedding(choice: EmbedderChoice, options: EmbedderOptions) -> Embedding:
    """Open and probe. Raises `ConfigurationError` when that cannot work like this, `Unavailable` when it does not work
    now; both say why."""
    kind = choice.spec.partition(":")[0]
    if kind == "openai":
        base_url = choice.base_url or options.base_url
        return RemoteEmbedding(await OpenAIEmbedder.open(choice.model, base_url, options.key_for(base_url)))
    if kind == "fastembed":
        return MicroBatcher(await asyncio.to_thread(FastEmbedder.open, choice.model, options.cache, options.threads))
    return MicroBatcher(await asyncio.to_thread(MiniLM.open, options.graphs or options.cache, options.threads))


class SharedEmbeddings:
    """Embedders in use, each opened once however many want it, and closed when nobody does any more."""

    def __init__(self, open_: Callable[[EmbedderChoice], Awaitable[Embedding]]) -> None:
        self._open = open_
        self._used: dict[EmbedderChoice, tuple[Embedding, int]] = {}
        self._opening: dict[EmbedderChoice, asyncio.Lock] = {}

    async def take(self, choice: EmbedderChoice) -> Embedding:
        """Open it, or share it; `give_back` as often. Raises as `open_embedding`."""
        async with self._opening.setdefault(choice, asyncio.Lock()):
            found, users = self._used.get(choice, (None, 0))
            embedding = found or await self._open(choice)
            self._used[choice] = embedding, users + 1
            return embedding

    async def give_back(self, choice: EmbedderChoice) -> None:
        """One user less."""
        embedding, users = self._used[choice]
        if users > 1:
            self._used[choice] = embedding, users - 1
            return
        del self._used[choice]
        await embedding.close()

    async def close(self) -> None:
        """Close all that are open."""
        while self._used:
            _, (embedding, _) = self._used.popitem()
            await embedding.close()

"""Embeddings from an endpoint that speaks the OpenAI API: OpenAI itself, Ollama, vLLM, and others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import structlog
from contracts.errors import ConfigurationError, InvalidInput, MemlogError, Unavailable

from indexer.embedding.embedder import PROBE, Vectors, normalized
from indexer.embedding.token_estimate import split_by_estimate

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = structlog.get_logger()
OPENAI_URL = "https://api.openai.com/v1"
_OVERLAP = 48
_WINDOW = 480
"""Tokens: what nearly every model sees, and enough for what somebody remembers at once."""
_SMALL_WINDOWS = {"all-minilm": 250}
_TIMEOUT_S = 30.0
_RETRIES, _URGENT_RETRIES = 3, 1
_REFUSED = (401, 403)
_TEXTS_FAULT = (400, 413, 422)


class OpenAIEmbedder:
    """`RemoteEmbedder` on one model of one endpoint. Texts leave this process, and this machine if it is elsewhere."""

    def __init__(self, client: "AsyncOpenAI", model: str, place: str, dimension: int) -> None:
        self._client = client
        self._model = model
        self._place = place
        self._dimension = dimension
        self._window = next((size for name, size in _SMALL_WINDOWS.items() if name in model), _WINDOW)

    @classmethod
    async def open(cls, model: str, base_url: str, api_key: str | None) -> "OpenAIEmbedder":
        """Ask for a vector, which also tells the dimension. Raises `ConfigurationError` when the endpoint refuses key,
        model or request, `Unavailable` when it does not answer properly."""
        from openai import AsyncOpenAI  # a second or two, which nobody else need pay

        url = httpx.URL(base_url)
        if url.scheme == "http" and api_key and url.host not in ("localhost", "127.0.0.1", "::1"):
            log.warning("embedder_key_unencrypted", host=url.host)
        client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", timeout=_TIMEOUT_S, max_retries=_URGENT_RETRIES
        )
        embedder = cls(client, model, url.netloc.decode(), 0)
        try:
            embedder._dimension = len((await embedder._ask([PROBE], _URGENT_RETRIES))[0])
        except BaseException:
            await client.close()
            raise
        return embedder

    @property
    def id(self) -> str:
        """`openai:nomic-embed-text@localhost:11434/768`: model, endpoint and dimension."""
        return f"openai:{self._model}@{self._place}/{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def chunks(self, text: str) -> tuple[str, ...]:
        """See `Model.chunks`, by an estimate of the tokens."""
        return split_by_estimate(text, self._window, _OVERLAP)

    async def embed(self, texts: Sequence[str], urgent: bool) -> Vectors:
        """See `RemoteEmbedder`. Raises `Unavailable`, also for what a person has to mend: what is not embedded now
        shall not be given up on. `InvalidInput` for texts that the endpoint refuses while it takes others."""
        try:
            return await self._ask(texts, _URGENT_RETRIES if urgent else _RETRIES)
        except _RequestRefused as refused:
            try:
                await self._ask([PROBE], 0)
            except ConfigurationError:
                raise Unavailable(refused.message) from None
            raise InvalidInput(refused.message) from None
        except ConfigurationError as error:
            raise Unavailable(error.message) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _ask(self, texts: Sequence[str], retries: int) -> Vectors:
        """(n, dimension); any dimension while it is not known. Raises `Unavailable`, `ConfigurationError`."""
        try:
            answer: Any = await self._client.with_options(max_retries=retries).embeddings.create(
                model=self._model, input=list(texts)
            )
            rows = np.array(
                [item.embedding for item in sorted(answer.data, key=lambda item: item.index)], np.float32, ndmin=2
            )
        except Exception as error:  # what a malformed answer makes the library raise is not listed
            raise self._problem(error) from error
        if rows.shape[0] != len(texts) or not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise Unavailable(f"{self._name} answers with something else than a vector for each text")
        if self._dimension not in (0, rows.shape[1]):
            raise Unavailable(
                f"{self._name} answers with vectors of {rows.shape[1]} numbers, and had {self._dimension} before: it "
                "is another model now. Vectors of two never mix: rebuild the index with it"
            )
        return normalized(rows)

    @property
    def _name(self) -> str:
        return f"the embedder '{self._model}' at {self._place}"

    def _problem(self, error: Exception) -> MemlogError:
        import openai

        match error:
            case openai.APIStatusError(status_code=status) if status in _REFUSED:
                return ConfigurationError(f"{self._name} refuses the key (HTTP {status}): see MEMLOG_EMBEDDER_API_KEY")
            case openai.NotFoundError():
                return ConfigurationError(
                    f"{self._name} is not there (HTTP 404): see the model's name, and MEMLOG_EMBEDDER_BASE_URL"
                )
            case openai.APIStatusError(status_code=status) if status in _TEXTS_FAULT:
                return _RequestRefused(f"{self._name} refuses the request (HTTP {status})")
            case openai.APIStatusError(status_code=status):
                return Unavailable(f"{self._name} answers HTTP {status}")
            case openai.APITimeoutError():
                return Unavailable(f"{self._name} does not answer in time")
            case openai.APIConnectionError():
                return Unavailable(f"{self._name} cannot be reached: {error.__cause__ or error}")
            case _:
                return Unavailable(f"{self._name} answers with something else than embeddings ({type(error).__name__})")


class _RequestRefused(ConfigurationError):
    """The endpoint calls the request wrong: for its texts, or for the model."""

"""What is said to the indexer, over core NATS, by a service that needs vectors of texts."""

from typing import Annotated

from pydantic import Field

from contracts.api import View

MAX_EMBED_TEXTS = 64
MAX_EMBED_CHARACTERS = 8192


class EmbedRequest(View):
    """Texts whose vectors are wanted, by somebody who can wait: searches and indexing go first."""

    texts: list[Annotated[str, Field(max_length=MAX_EMBED_CHARACTERS)]] = Field(max_length=MAX_EMBED_TEXTS)


class EmbedReply(View):
    """A vector a text, in order: base64 of little-endian float32, L2-normalized (of a text beyond the embedder's
    window, the mean over its pieces). `error`/`code` instead when the indexer could not answer."""

    embedder: str = ""
    vectors: list[str] = []
    code: str | None = None
    error: str | None = None

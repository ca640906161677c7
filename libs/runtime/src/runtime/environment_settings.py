"""What the environment says of the settings that can also be stored: it wins, and nothing stored changes it."""

from dataclasses import dataclass

from contracts.configuration import MINILM, Embedder, EmbedderConfig, Llm, LlmConfig, VectorStore

from runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """Sections that the environment sets (None: it does not), and what stored ones are held against: `default_user`,
    whose settings are the server's, and `embedder_url`, for which MEMLOG_EMBEDDER_API_KEY is."""

    llm: Llm | None
    embedder: Embedder | None
    vector_store: VectorStore
    default_user: str
    embedder_url: str


def from_environment(settings: Settings) -> FromEnvironment:
    """In the shape in which they are stored, keys as references."""
    return FromEnvironment(
        llm=_llm(settings),
        embedder=_embedder(settings),
        vector_store=_vector_store(settings),
        default_user=settings.default_user,
        embedder_url=settings.embedder_base_url.rstrip("/"),
    )


def _llm(settings: Settings) -> Llm | None:
    if settings.llm is None:
        return None
    key = None if settings.llm_api_key is None else "env:MEMLOG_LLM_API_KEY"
    where = settings.llm_base_url.rstrip("/")
    return Llm(provider="openai", config=LlmConfig(model=settings.llm, base_url=where, api_key=key))


def _embedder(settings: Settings) -> Embedder | None:
    if settings.embedder is None:
        return None
    kind, _, model = settings.embedder.partition(":")
    if kind != "openai":
        return Embedder(provider=kind, config=EmbedderConfig(model=model or MINILM.config.model))
    key = None if settings.embedder_api_key is None else "env:MEMLOG_EMBEDDER_API_KEY"
    where = settings.embedder_base_url.rstrip("/")
    return Embedder(provider=kind, config=EmbedderConfig(model=model, base_url=where, api_key=key))


def _vector_store(settings: Settings) -> VectorStore:
    if settings.qdrant_url is None:
        return VectorStore(provider="qdrant-edge")
    return VectorStore(
        provider="qdrant", config={"url": settings.qdrant_url, "collection_name": settings.qdrant_collection}
    )

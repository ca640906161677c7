"""Settings that are kept in the log, in OpenMemory's shape (surface §1.2): what a user may set, and what it means.

In the log stands what was set and nothing else: defaults and secrets never do. A key is a reference to where it is
(`env:NAME`, `file:/path`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from contracts.errors import InvalidInput

OPENAI_URL = "https://api.openai.com/v1"
PROVIDERS: Mapping[str, str] = {
    "openai": OPENAI_URL,
    "ollama": "http://localhost:11434/v1",
    "lmstudio": "http://localhost:1234/v1",
    "vllm": "http://localhost:8000/v1",
    "litellm": "http://localhost:4000/v1",
    "groq": "https://api.groq.com/openai/v1",
    "together": "https://api.together.xyz/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "xai": "https://api.x.ai/v1",
    "mistralai": "https://api.mistral.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
}
"""Providers that speak the OpenAI API, and where. `base_url` says it otherwise."""
OWN_EMBEDDERS = ("minilm", "fastembed")
"""Embedders that run here."""
MINILM_MODEL = "all-MiniLM-L6-v2"
_REFERENCE = re.compile(r"env:[A-Z_][A-Z0-9_]{0,127}|file:/[^\x00-\x1f\x7f]{1,1023}")
_HIDDEN = "***"
_T = TypeVar("_T", bound=BaseModel)


class _Part(BaseModel):
    """Base of the parts: what a newer version wrote beside them is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _ModelConfig(_Part):
    model: str = Field(min_length=1, max_length=256)
    api_key: str | None = None
    base_url: str | None = None
    ollama_base_url: str | None = Field(default=None, description="OpenMemory's name for `base_url`")


class LlmConfig(_ModelConfig):
    """Which language model to ask, and how."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=2000, ge=1, le=1_000_000)


class EmbedderConfig(_ModelConfig):
    """Which model makes the vectors."""


class Llm(_Part):
    provider: str
    config: LlmConfig


class Embedder(_Part):
    provider: str
    config: EmbedderConfig


class VectorStore(_Part):
    provider: str
    config: dict[str, JsonValue] = {}


class OpenMemoryPart(_Part):
    custom_instructions: str | None = None


class Mem0Part(_Part):
    llm: Llm | None = None
    embedder: Embedder | None = None
    vector_store: VectorStore | None = None


class Configuration(_Part):
    """All of it. `llm` None: no language model is asked."""

    openmemory: OpenMemoryPart = OpenMemoryPart()
    mem0: Mem0Part = Mem0Part()


@dataclass(frozen=True, slots=True)
class Configured:
    """What is in force, keys hidden; `from_environment` are the paths of what only the environment changes."""

    configuration: Configuration
    from_environment: tuple[str, ...]


MINILM = Embedder(provider="minilm", config=EmbedderConfig(model=MINILM_MODEL))


def stored_configuration(settings: Mapping[str, JsonValue]) -> Configuration:
    """What a `SettingsChanged` says. Raises `InvalidInput` for what this version cannot read."""
    try:
        return Configuration.model_validate(settings)
    except ValidationError as error:
        raise InvalidInput(f"the stored settings cannot be read: {_path(error)}") from None


def checked_llm(section: Mapping[str, Any]) -> Llm:
    """The section as one that can be used. Raises `InvalidInput` with the path of what is wrong."""
    llm = _checked(Llm, section, "mem0.llm")
    if base_url(llm) is None:
        raise InvalidInput(
            f"mem0.llm.provider: '{llm.provider[:80]}' is not supported: Memlog asks endpoints that speak the OpenAI "
            f"API. It knows {', '.join(PROVIDERS)}; with 'openai' and a base_url, or LiteLLM in between, also others"
        )
    _check_place(llm.config, "mem0.llm.config")
    return llm


def checked_embedder(section: Mapping[str, Any]) -> Embedder:
    """The section as one that can be used. Raises `InvalidInput` with the path of what is wrong."""
    embedder = _checked(Embedder, section, "mem0.embedder")
    kind, config, at = provider_key(embedder.provider), embedder.config, "mem0.embedder"
    if any(char.isspace() for char in config.model):
        raise InvalidInput(f"{at}.config.model: must not hold white space")
    if kind in OWN_EMBEDDERS:
        for name in ("api_key", "base_url", "ollama_base_url"):
            if getattr(config, name) is not None:
                raise InvalidInput(f"{at}.config.{name}: {kind} runs in Memlog, and has none")
        if kind == "minilm" and config.model.casefold() != MINILM_MODEL.casefold():
            raise InvalidInput(f"{at}.config.model: minilm is {MINILM_MODEL}; other models are fastembed's, or remote")
    elif base_url(embedder) is None:
        raise InvalidInput(
            f"{at}.provider: '{embedder.provider[:80]}' is not supported: it is {', '.join(OWN_EMBEDDERS)}, or speaks "
            f"the OpenAI API: {', '.join(PROVIDERS)}"
        )
    _check_place(config, f"{at}.config")
    return embedder


def provider_key(name: str) -> str:
    """What a provider's name is compared by: OpenMemory's dashboard says "lm studio" and "lmstudio", "mistral ai"."""
    return re.sub(r"[\s_-]", "", name.casefold())


def base_url(part: Llm | Embedder) -> str | None:
    """Where the model answers; None for a provider that does not speak the OpenAI API."""
    key, config = provider_key(part.provider), part.config
    if key not in PROVIDERS:
        return None
    given = config.base_url or config.ollama_base_url
    if given is None:
        return PROVIDERS[key]
    given = given.rstrip("/")
    # OpenMemory's Ollama addresses name the server, and not the API on it.
    return f"{given}/v1" if key == "ollama" and not urlsplit(given).path else given


def embedder_spec(embedder: Embedder) -> str:
    """The embedder as MEMLOG_EMBEDDER and `memlog rebuild index --embedder` name it."""
    kind = provider_key(embedder.provider)
    if kind == "minilm":
        return kind
    where = base_url(embedder)
    return f"fastembed:{embedder.config.model}" if where is None else f"openai:{embedder.config.model}@{where}"


def hidden(reference: str | None) -> str | None:
    """A reference as it is shown: of which kind it is, not where the key is."""
    return None if reference is None else f"{reference.partition(':')[0]}:{_HIDDEN}"


def is_hidden(value: str) -> bool:
    """Whether this is how a reference is shown: sent back, it stands for the one that is stored."""
    return value in (f"env:{_HIDDEN}", f"file:{_HIDDEN}")


def _check_place(config: _ModelConfig, at: str) -> None:
    if config.base_url is not None and config.ollama_base_url is not None:
        raise InvalidInput(f"{at}.ollama_base_url: base_url says the same; send one of them")
    for name in ("base_url", "ollama_base_url"):
        _check_url(getattr(config, name), f"{at}.{name}")
    if config.api_key is not None and not _REFERENCE.fullmatch(config.api_key):
        # Never the value: it may be the key itself.
        raise InvalidInput(
            f"{at}.api_key: a key is never stored. Say where it is: 'env:NAME_API_KEY' (an environment variable of the "
            "server, so named) or 'file:/path' (a file of one line in the server's MEMLOG_SECRETS_PATH)"
        )


def _check_url(url: str | None, at: str) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or len(url) > 2048 or "@" in url or any(char.isspace() or not char.isprintable() for char in url):
        raise InvalidInput(f"{at}: must be an http or https address, without user or password")
    if parts.query or parts.fragment:
        raise InvalidInput(f"{at}: must not hold a query or a fragment")


def _checked(kind: type[_T], section: Mapping[str, Any], at: str) -> _T:
    try:
        return kind.model_validate(section)
    except ValidationError as error:
        raise InvalidInput(f"{at}.{_path(error)}") from None


def _path(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {'is missing' if first['type'] == 'missing' else first['msg']}"

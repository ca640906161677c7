"""Settings: everything that differs between a laptop, compose and a cluster, from `MEMLOG_*` variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

from contracts.errors import ConfigurationError
from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def comma_separated(text: str) -> tuple[str, ...]:
    """The parts that are not empty."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _comma_separated(value: object) -> object:
    return comma_separated(value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
"""Comma-separated in the environment."""


class Settings(BaseSettings):
    """One value for all services; each reads what concerns it. Times in seconds."""

    model_config = SettingsConfigDict(env_prefix="MEMLOG_", extra="ignore", frozen=True)

    nats_url: str = Field(
        default="nats://127.0.0.1:4222", description="Of a cluster, those of all servers: with commas"
    )
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_monitor_url: str | None = Field(
        default="http://127.0.0.1:8222", description="Asked at start whether the server syncs always; of a cluster, all"
    )
    allow_unsafe_sync: bool = Field(
        default=False, description="Serve although a power cut can lose acknowledged writes"
    )
    declare_streams: bool = Field(
        default=True,
        description="Make the streams that are missing; where only the memory-writer may do so, the others wait for it",
    )
    shards: int = Field(default=1, ge=1, le=256, description="Fixed when the log is created")
    replicas: int = Field(default=1, ge=1, le=5)
    command_retention: float = Field(default=30 * 86_400.0, description="How long idempotency keys hold")
    access_retention: float = Field(default=0.0, description="0: for ever")
    sole_instance: bool = Field(
        default=False, description="Nobody else can be alive (embedded form): take over leases without waiting"
    )
    lease_ttl: float = Field(default=8.0, ge=1.0, description="A dead owner's work is taken over after this")

    postgres_dsn: SecretStr = SecretStr("postgresql://memlog@127.0.0.1:5432/memlog")
    postgres_reader_dsn: SecretStr | None = None
    master_key_file: Path | None = None
    secrets_path: Path = Field(
        default=Path("/run/secrets"), description="The folder in which stored settings may name files that hold keys"
    )
    anchor_file: Path | None = Field(default=None, description="Where the heads of the audit chains are kept")
    anchor_interval: float = Field(default=3600.0, ge=1.0, description="How often, in seconds; at a stop too")
    index_path: Path | None = None
    cache_path: Path | None = None
    graph_path: Path | None = Field(
        default=None, description="Where MiniLM's graph is, when an image brings it; else it is made once in cache_path"
    )
    qdrant_url: str | None = Field(
        default=None,
        pattern="^https?://",
        description="A Qdrant server to keep the index on, instead of index_path; the port is 6333 unless given",
    )
    qdrant_api_key: SecretStr | None = None
    qdrant_ca_file: Path | None = Field(default=None, description="Certificates to verify https against")
    qdrant_collection: str = Field(
        default="memlog",
        pattern="^[A-Za-z0-9._-]{1,100}$",
        description="Alias of the index's collection there",
    )
    qdrant_replicas: int = Field(
        default=1,
        ge=1,
        le=8,
        description="On how many servers of a cluster of Qdrant a new collection lies",
    )
    embedder: str | None = Field(
        default=None,
        pattern=r"^(minilm|(fastembed|openai):\S+)$",
        description="minilm (the default), fastembed:<model>, openai:<model>; a choice made while running counts where "
        "nothing is said here",
    )
    embedder_base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern=r"^https?://[^/@\s]+(/\S*)?$",  # it is shown, and kept: it must not hold a password
        description="Endpoint of openai:<model>: OpenAI, or what speaks its API (Ollama, vLLM, ...)",
    )
    embedder_api_key: SecretStr | None = Field(
        default=None, description="Its key; for OpenAI itself, OPENAI_API_KEY counts where this is not set"
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY")
    )
    embed_threads: int = Field(default=0, ge=0, description="0: chosen by the embedder")
    embedding_cache_mb: int = Field(
        default=512, ge=0, description="Most that vectors of texts seen before take on disk, in cache_path; 0: no cache"
    )

    llm: str | None = Field(
        default=None,
        pattern=r"^\S+$",
        description="A language model, such as gpt-4o-mini: it is asked only where this is set, and is sent texts",
    )
    llm_base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern=r"^https?://[^/@\s]+(/\S*)?$",
        description="Its endpoint: OpenAI, or what speaks its API (Ollama, vLLM, LM Studio, ...)",
    )
    llm_api_key: SecretStr | None = Field(
        default=None, description="Its key; for OpenAI itself, OPENAI_API_KEY counts where this is not set"
    )
    llm_timeout: float = Field(default=60.0, gt=0, description="Of one request")
    llm_budget: float = Field(default=180.0, gt=0, description="Of one question, with all that is tried again")
    llm_concurrency: int = Field(default=4, ge=1, le=64, description="Most requests at once, of each service")

    policy_interval: float = Field(
        default=3600.0,
        ge=1.0,
        description="How often archive policies are carried out, in seconds; soon after a change too",
    )

    llm_patience: float = Field(
        default=86_400.0, ge=0, description="A text that could not be read for so long is stored as it is"
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8765, ge=0, le=65_535)
    allowed_hosts: Names = Field(default=(), description="Host names beyond loopback that clients may use")
    allowed_origins: Names = Field(default=(), description="Origins beyond its own that may call")
    conformance_fixtures: bool = Field(
        default=False, description="Serve what the MCP conformance suite asks for by name; for tests, on loopback only"
    )
    auth: Literal["off", "token", "oidc"] = Field(
        default="off", description="Who may call: everybody on this machine, bearers of tokens, or also an issuer's"
    )
    admin_token_file: Path | None = Field(
        default=None, description="The operator's own token, which issues the first ones; a file of mode 0600"
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/@\s?#]+$",
        description="How clients reach the gateway, such as https://memlog.example.org; taken from Host when not set",
    )
    trace_url: str | None = Field(
        default=None,
        pattern=r"^https?://\S*\{trace_id\}\S*$",
        description="Where people look at traces, such as http://localhost:16686/trace/{trace_id}",
    )
    rate_limit: str = Field(default="1200/minute", description="Most requests of one token; off: no limit")
    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://", description="Whose tokens count, too")
    oidc_audience: str | None = Field(default=None, description="Whom they have to be for; public_url when not set")
    oidc_user_claim: str = Field(default="sub", description="The claim that names the user")
    oidc_app_claim: str = Field(default="client_id", description="The claim that names the app; azp counts as well")
    oidc_owner_clients: Names = Field(default=(), description="Clients that speak for the person, as the dashboard")
    oidc_scope_prefix: str = Field(default="memlog:", description="What stands before read, write, … in their scopes")
    default_user: str = "default"
    wait_timeout: float = Field(default=10.0, gt=0, description="How long a write waits to become searchable")
    max_body_bytes: int = Field(default=1024 * 1024, gt=0)
    max_import_bytes: int = Field(
        default=128 * 1024 * 1024, gt=0, description="The largest backup file that POST /api/v1/backup/import takes"
    )
    ops_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Serves /livez, /readyz and /metrics, for probes and Prometheus alone",
    )
    ops_host: str = Field(default="127.0.0.1", description="Where; nothing there asks who calls")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @property
    def reader_dsn(self) -> str:
        """The gateway's DSN: read-only where one is configured."""
        return (self.postgres_reader_dsn or self.postgres_dsn).get_secret_value()


def as_environment(settings: Settings) -> Mapping[str, str]:
    """This process's environment with these settings: what a process is told that is to run with them, too. Settings
    at their default are left out."""
    told: dict[str, str] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value is None or value == field.default:
            continue
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if isinstance(value, tuple):
            value = ",".join(cast("tuple[str, ...]", value))
        told[f"MEMLOG_{name.upper()}"] = str(value)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
    # One arena instead of one a thread: an embedder's threads would keep tens of megabytes each.
    return {**inherited, **told, "MALLOC_ARENA_MAX": "2"}


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; `overrides` win. Raises `ConfigurationError` naming each bad variable."""
    try:
        return Settings(**{**_secrets_of_files(), **overrides})  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        problems = "; ".join(
            f"MEMLOG_{'_'.join(str(part) for part in e['loc']).upper()}: {e['msg']}" for e in error.errors()
        )
        raise ConfigurationError(f"settings are wrong: {problems}") from None


def _secrets_of_files() -> dict[str, str]:
    """Each secret setting can stand in a file instead, which its variable with `_FILE` behind it names: a variable is
    shown by whatever shows a process or a container. A line break at the end is not part of it; an empty file says
    nothing."""
    found: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        variable = f"MEMLOG_{name.upper()}"
        path = os.environ.get(f"{variable}_FILE")
        if not path or SecretStr not in (field.annotation, *get_args(field.annotation)):
            continue
        if variable in os.environ:
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set: say it once")
        try:
            found[name] = Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not a text"
            raise ConfigurationError(f"{variable}_FILE: {path} cannot be read ({why})") from None
        if not found[name]:
            del found[name]
    return found

"""The connection to a Qdrant server, and its failures in Memlog's own terms."""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import structlog
from contracts.errors import ConfigurationError, Unavailable
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

log = structlog.get_logger()
_TIMEOUT_S = 10
_KEPT_S = 3
"""How long a connection may be idle: the server closes it after 5 s, and what is sent at that moment is lost."""
_CONNECTIONS = 100
_REFUSED = (401, 403)
# Not found: the collection went away while in use, and is made anew at the next call.
_MAY_HEAL = (404, 408, 425, 429)


def connect_qdrant(url: str, api_key: str | None = None, ca_file: Path | None = None) -> AsyncQdrantClient:
    """A client of the server at `url`, which is not called yet. `https` verifies its certificate, against `ca_file`
    if there is one. Raises `ConfigurationError`."""
    parsed = httpx.URL(url)
    if parsed.scheme == "http" and api_key and parsed.host not in ("localhost", "127.0.0.1", "::1"):
        log.warning("qdrant_key_unencrypted", host=parsed.host)
    try:
        verify = ssl.create_default_context(cafile=ca_file) if parsed.scheme == "https" else False
    except OSError as error:  # ssl.SSLError too
        raise ConfigurationError(f"MEMLOG_QDRANT_CA_FILE cannot be used: {error}") from error
    return AsyncQdrantClient(
        url=url,
        timeout=_TIMEOUT_S,
        # As a header: given as a key, over http it makes the client warn each time.
        headers={"api-key": api_key} if api_key else None,
        # The server computes BM25 itself; otherwise the client looks for a library that does.
        cloud_inference=True,
        check_compatibility=False,  # `require_version` does, and refuses
        verify=verify,
        # The client's own choice for this machine is a new connection for each request.
        limits=httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEPT_S),
        pool_size=None,
    )


@contextmanager
def qdrant_errors(doing: str) -> Generator[None]:
    """Turn failures of the server inside into `Unavailable`, and a key that it refuses into `ConfigurationError`,
    saying what was being done. A request that it calls wrong is a defect, and propagates."""
    try:
        yield
    except (ResponseHandlingException, ResourceExhaustedResponse) as error:
        cause = error.source if isinstance(error, ResponseHandlingException) else error
        raise Unavailable(f"Qdrant did not {doing}: {type(cause).__name__}: {cause}") from error
    except UnexpectedResponse as error:
        status = error.status_code or 500
        if status in _REFUSED:
            raise ConfigurationError(f"Qdrant refuses to {doing} (HTTP {status}): see MEMLOG_QDRANT_API_KEY") from error
        if status >= 500 or status in _MAY_HEAL:
            raise Unavailable(f"Qdrant did not {doing}: HTTP {status}") from error
        raise

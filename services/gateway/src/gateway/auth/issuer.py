"""The public keys of an OpenID Connect issuer: found by its metadata, kept for a while, and asked for anew when a token
names a key that is not among them (rotation)."""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import structlog
from contracts.errors import ConfigurationError, Unavailable
from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWTError

log = structlog.get_logger()
_FRESH_S = 300.0
"""A key that the issuer took back counts for so long at most."""
_STALE_S = 3600.0
"""While the issuer cannot be asked, its last word holds for so long."""
_COOLDOWN_S = 10.0
"""Tokens that name made-up keys do not make the gateway ask more often than this."""
_TIMEOUT_S = 5.0
_MAX_BYTES = 1024 * 1024


def check_issuer_url(url: str, what: str) -> None:
    """Raises `ConfigurationError` for an address whose answers somebody on the way could change."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        loopback = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback:
        raise ConfigurationError(f"{what} must be an https:// address: whoever answers there says who may come in")


class IssuerKeys:
    """The issuer's signing keys. One request at a time asks for them, whoever else needs them waits for it."""

    def __init__(self, issuer: str, http: httpx.AsyncClient, now: Callable[[], float] = time.monotonic) -> None:
        check_issuer_url(issuer, "MEMLOG_OIDC_ISSUER")
        self._issuer = issuer
        self._http = http
        self._now = now
        self._keys: dict[str, PyJWK] = {}
        self._fetched = self._tried = -float("inf")
        self._failure = "it was not asked yet"
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> PyJWK | None:
        """The key of this id; None when the issuer has none. Raises `Unavailable` while the issuer cannot be asked."""
        found = self._keys.get(kid)
        if found is not None and self._age() < _FRESH_S:
            return found
        async with self._asking:
            if kid not in self._keys or self._age() >= _FRESH_S:
                await self._ask()
        if self._age() >= _STALE_S:
            raise Unavailable(f"the issuer {self._issuer} cannot be asked for its keys: {self._failure}")
        return self._keys.get(kid)

    def _age(self) -> float:
        return self._now() - self._fetched

    async def _ask(self) -> None:
        if self._now() - self._tried < _COOLDOWN_S:
            return
        self._tried = self._now()
        try:
            uri = await self._jwks_uri()
            keys = PyJWKSet.from_dict(await self._json(uri)).keys
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, PyJWTError, ConfigurationError) as error:
            self._failure = str(error) or type(error).__name__
            log.warning("issuer_keys_not_read", issuer=self._issuer, reason=self._failure)
            return
        # What is for encryption signs nothing; a symmetric key would let its holders sign as the issuer.
        self._keys = {
            key.key_id: key
            for key in keys
            if key.key_id and key.public_key_use in ("sig", None) and key.key_type != "oct"
        }
        self._fetched = self._now()

    async def _jwks_uri(self) -> str:
        """From the metadata of OpenID Connect Discovery 1.0, else of RFC 8414."""
        parts = urlsplit(self._issuer)
        base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        try:
            metadata = await self._json(f"{base}{path}/.well-known/openid-configuration")
        except (httpx.HTTPError, ValueError):
            metadata = await self._json(f"{base}/.well-known/oauth-authorization-server{path}")
        if metadata.get("issuer") != self._issuer:
            raise ValueError(f"its metadata are those of another issuer, {str(metadata.get('issuer'))[:200]!r}")
        uri = str(metadata.get("jwks_uri"))
        check_issuer_url(uri, "the issuer's jwks_uri")
        return uri

    async def _json(self, url: str) -> dict[str, Any]:
        answer = await self._http.get(url, timeout=_TIMEOUT_S, follow_redirects=False)
        if answer.status_code != 200 or len(answer.content) > _MAX_BYTES:
            raise ValueError(f"{url} answers with status {answer.status_code}, {len(answer.content)} bytes")
        found: object = answer.json()
        if not isinstance(found, dict):
            raise ValueError(f"{url} does not answer with a JSON object")
        return cast("dict[str, Any]", found)

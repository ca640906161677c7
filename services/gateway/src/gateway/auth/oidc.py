"""Access tokens of an OpenID Connect issuer (JWT, RFC 9068): the gateway as the OAuth 2.1 resource server that MCP's
authorization asks for. It sends nobody's token on, and takes none that was made for somebody else."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

import jwt
from contracts.errors import ConfigurationError
from contracts.ids import OWNER_APP
from contracts.tokens import SCOPES
from jwt.exceptions import PyJWTError

from gateway.asking import Scope
from gateway.auth.identity import Identity, Unauthenticated
from gateway.auth.issuer import IssuerKeys
from gateway.inputs import is_name

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures only the issuer can make: no shared secrets, and never none."""
_TYPES = ("at+jwt", "application/at+jwt", "jwt")
_LEEWAY_S = 10
_MAX_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """What is expected of tokens, and which claims name user and app. `audiences`: one of them must be the token's; for
    what ends in `/`, anything below it. `operator`: the user who, as the owner and with the scope admin, may do what
    concerns all."""

    issuer: str
    audiences: tuple[str, ...]
    user_claim: str = "sub"
    app_claim: str = "client_id"
    owner_clients: tuple[str, ...] = ()
    scope_prefix: str = "memlog:"
    operator: str = "default"

    def __post_init__(self) -> None:
        if not self.audiences:
            raise ConfigurationError(
                "MEMLOG_AUTH=oidc needs to know whom tokens are for: set MEMLOG_PUBLIC_URL (how clients reach this"
                " server) or MEMLOG_OIDC_AUDIENCE"
            )


def audiences(audience: str | None, public_url: str | None) -> tuple[str, ...]:
    """What a token may be for: what is set, else this server's address or anything below it, such as /mcp."""
    if audience is not None:
        return (audience,)
    return (public_url, f"{public_url}/") if public_url is not None else ()


class OidcAuthenticator:
    """Proves the issuer's tokens; none is looked up, so one counts until it expires (let them expire soon)."""

    def __init__(self, keys: IssuerKeys, options: OidcOptions) -> None:
        self._keys = keys
        self._options = options

    def knows(self, bearer: str) -> bool:
        return bearer.count(".") == 2

    async def authenticate(self, bearer: str) -> Identity:
        """Raises `Unauthenticated` saying what is wrong with the token, and `Unavailable`."""
        if len(bearer) > _MAX_BYTES:
            raise Unauthenticated("the token is too long")
        try:
            header = jwt.get_unverified_header(bearer)
            kid, algorithm = header.get("kid"), header.get("alg")
            if not isinstance(kid, str) or algorithm not in _ALGORITHMS:
                raise Unauthenticated("the token does not say by which key it is signed, or in a way that counts")
            if str(header.get("typ", "JWT")).lower() not in _TYPES:
                raise Unauthenticated("the token is of another type, not an access token")
            key = await self._keys.key(kid)
            if key is None:
                raise Unauthenticated("the token is signed by a key that its issuer does not have")
            claims = jwt.decode(
                bearer,
                key,
                algorithms=[algorithm],
                issuer=self._options.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud"], "verify_aud": False},
            )
        except (PyJWTError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Unauthenticated(f"the token does not count: {error}") from None
        # One name for each token, which says nothing of user or client: it stands in the log in clear.
        signature = bearer.rpartition(".")[2]
        return self._identity(claims, f"oidc:{sha256(signature.encode()).hexdigest()[:16]}")

    def _identity(self, claims: Mapping[str, Any], credential: str) -> Identity:
        options = self._options
        if not any(self._is_meant(audience) for audience in _texts(claims.get("aud"))):
            raise Unauthenticated("the token was made for another server")
        user = claims.get(options.user_claim)
        client = claims.get(options.app_claim) or claims.get("azp")
        if not (isinstance(user, str) and is_name(user) and isinstance(client, str) and is_name(client)):
            raise Unauthenticated(f"the token names no user ({options.user_claim}) or no client ({options.app_claim})")
        owner = client in options.owner_clients
        if client == OWNER_APP and not owner:
            raise Unauthenticated(f"the client name '{OWNER_APP}' is the owner's; see MEMLOG_OIDC_OWNER_CLIENTS")
        scopes = self._scopes(claims)
        return Identity(
            user=user,
            app=OWNER_APP if owner else client,
            scopes=scopes,
            credential=credential,
            operator=owner and user == options.operator and Scope.ADMIN in scopes,
            expires_at=datetime.fromtimestamp(min(float(claims["exp"]), time.time() + 10**9), UTC),
        )

    def _is_meant(self, audience: str) -> bool:
        return any(
            audience.startswith(ours) if ours.endswith("/") else audience == ours for ours in self._options.audiences
        )

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        """`scope` (RFC 9068) or `scp`, with the prefix taken off; others are not ours."""
        said = {text for claim in ("scope", "scp") for part in _texts(claims.get(claim)) for text in part.split()}
        prefix = self._options.scope_prefix
        return frozenset(Scope(name) for name in SCOPES if f"{prefix}{name}" in said)


def _texts(value: object) -> tuple[str, ...]:
    """A claim that is a text or a list of texts, as texts."""
    if isinstance(value, str):
        return (value,)
    parts = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(part for part in parts if isinstance(part, str))

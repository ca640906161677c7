"""Who is behind a request, as proven by what came with it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from contracts.errors import MemlogError

from gateway.asking import Scope


class Unauthenticated(MemlogError):
    """No token came with the request, or one that does not count: unknown, expired or revoked."""

    code = "unauthenticated"
    status = 401
    remedy = "Send `Authorization: Bearer <token>`. `memlog token issue` makes one; `memlog token list` shows them."


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and app (names) for whom a request acts, within `scopes`. `credential` says by what it was proven, fit
    for a log (`token:<id>`, `oidc:<hash of the token>`, `operator`). `operator`: may also do what concerns all users:
    issue their tokens, rebuild, verify; never read their memories."""

    user: str
    app: str
    scopes: frozenset[Scope]
    credential: str
    operator: bool = False
    expires_at: datetime | None = field(default=None)


class Authenticator(Protocol):
    """Proves bearer tokens of one kind."""

    def knows(self, bearer: str) -> bool:
        """Whether the token has this kind's form, so that this is who has to say what it is worth."""
        ...

    async def authenticate(self, bearer: str) -> Identity:
        """Whose it is, now: one that was revoked a moment ago, by whatever gateway, counts no more. Raises
        `Unauthenticated`, and `Unavailable` when that cannot be known."""
        ...

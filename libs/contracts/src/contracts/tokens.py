"""Access tokens: what a client sends as `Authorization: Bearer memlog_…`, and what of it the log keeps.

A token says whose it is and which one it is, so that its event is one lookup away, and holds a secret of 256 random
bits, of which the log keeps the SHA-256 alone (a slow hash is for secrets that people choose).
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from pydantic import Field

from contracts.api import View
from contracts.ids import uuid7

ScopeName = Literal["read", "write", "delete", "admin"]
SCOPES: tuple[ScopeName, ...] = ("read", "write", "delete", "admin")
"""What a token may be allowed. None of them includes another."""
PREFIX = "memlog_"
_FORM = re.compile(r"memlog_([0-9a-f]{32})_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token in clear: in the hand of its bearer only, never stored."""

    uid: str
    token_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """What the bearer is given, once, and sends."""
        return f"{PREFIX}{self.uid}_{self.token_id}_{self.secret}"

    @property
    def hash(self) -> str:
        return secret_hash(self.secret)


def new_token(uid: str) -> BearerToken:
    """A fresh token of this user. Its id (32 hex digits) sorts by time."""
    return BearerToken(uid, uuid7().replace("-", ""), secrets.token_urlsafe(32))


def parse_token(text: str) -> BearerToken | None:
    """The token that this is, as far as its form says; None when it is none of ours."""
    match = _FORM.fullmatch(text)
    return None if match is None else BearerToken(match[1], match[2], match[3])


def secret_hash(secret: str) -> str:
    """What the log keeps of a token's secret: 64 hex digits."""
    return sha256(secret.encode()).hexdigest()


def is_secret_of(secret: str, hashed: str) -> bool:
    """Whether `hashed` was made of this secret; takes the same time either way."""
    return hmac.compare_digest(secret_hash(secret), hashed)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a new token is to be good for. `app`: the client that acts with it, or `dashboard`, the person."""

    app: str
    scopes: tuple[ScopeName, ...]
    label: str = ""
    days: int | None = None


class TokenView(View):
    """A token as it is shown: all but its secret."""

    id: str
    app: str = Field(description="The client that acts with it; `dashboard`: the person, who sees everything of theirs")
    scopes: list[ScopeName]
    label: str
    state: Literal["active", "expired", "revoked"]
    created_at: int = Field(description="Epoch seconds")
    created_by: str = Field(description="By what the request that issued it was proven: `operator`, `token:<id>`, …")
    expires_at: int | None = Field(default=None, description="Epoch seconds; null: it does not expire")
    revoked_at: int | None = Field(default=None, description="Epoch seconds")


class TokenPage(View):
    """One page of a user's tokens. `total` counts all, `pages` is ceil(total / size)."""

    items: list[TokenView]
    total: int
    page: int
    size: int
    pages: int


class IssuedToken(View):
    """A new token. `token` is shown this once: nobody can find it out again."""

    id: str
    user_id: str
    app: str
    scopes: list[ScopeName]
    label: str
    expires_at: int | None = Field(default=None, description="Epoch seconds; null: it does not expire")
    token: str

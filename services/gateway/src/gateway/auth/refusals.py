"""How a request is refused for who it comes from, and what its answer tells the client to do about it (RFC 6750 §3,
RFC 9728 §5.1, MCP's authorization specification of 2026-07-28)."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from contracts.api import OperationResult
from contracts.errors import MemlogError
from starlette.requests import Request
from starlette.types import Scope as ASGIScope

from gateway.asking import Caller, Scope
from gateway.auth.identity import Identity, Unauthenticated
from gateway.auth.resource_metadata import WELL_KNOWN, resource_url

MCP_FIRST = (Scope.READ, Scope.WRITE)
"""The scopes that an MCP client had best begin with; it asks for `delete` when it has to."""
_CHALLENGER, _IDENTITY = "challenger", "identity"


class InsufficientScope(MemlogError):
    """The token is not allowed this: its scopes, none of which includes another, lack one that the route or tool
    needs. `WWW-Authenticate` names all that are needed."""

    code = "insufficient_scope"
    status = 403
    remedy = "Use a token with the scope that `WWW-Authenticate` names (`memlog token issue --scopes …`)."

    def __init__(self, needed: Iterable[Scope]) -> None:
        self.needed = tuple(sorted(needed))
        super().__init__(f"this needs the scope {' and '.join(self.needed)}, which the token does not have")


class AnotherUser(MemlogError):
    """The request names another user than the one to whom its token belongs."""

    code = "another_user"
    status = 403
    remedy = "Leave the user out, or use a token of that user. No token reads another user's memories."


class AnotherApp(MemlogError):
    """The request names another app than the one to which its token belongs."""

    code = "another_app"
    status = 403
    remedy = "Leave the app out, or use a token of that app."


class AppsOnly(MemlogError):
    """An MCP client came with the person's own token, which no rule binds and whose reads count for no app."""

    code = "apps_only"
    status = 403
    remedy = "Issue a token for the client: `memlog token issue --app <client>`."


class OperatorOnly(MemlogError):
    """The route is about all users, or about the server; the token is not the operator's."""

    code = "operator_only"
    status = 403
    remedy = "Use the operator's token (MEMLOG_ADMIN_TOKEN_FILE), or the default user's own with the scope admin."


class RateLimited(MemlogError):
    """Too many requests with one token, or too many tokens from one address that do not count."""

    code = "rate_limited"
    status = 429
    remedy = "Wait as long as `Retry-After` says. MEMLOG_RATE_LIMIT sets how many requests a token may make."

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Challenger:
    """Words `WWW-Authenticate`. `public_url`: how clients reach the server, where that is set; `scope_prefix`: what
    stands before the names of scopes where tokens come from."""

    public_url: str | None = None
    scope_prefix: str = ""

    def header(self, scope: ASGIScope, error: str | None, needed: Iterable[Scope]) -> str:
        """The challenge in the answer to this request."""
        path: str = scope["path"]
        below = quote(path) if is_mcp(path) else ""
        named = " ".join(f"{self.scope_prefix}{each}" for each in needed)
        metadata = f"{resource_url(Request(scope), self.public_url)}{WELL_KNOWN}{below}"
        parts = {"error": error, "scope": named, "resource_metadata": metadata}
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)


def is_mcp(path: str) -> bool:
    return path == "/mcp" or path.startswith("/mcp/")


def remember(scope: ASGIScope, identity: Identity) -> None:
    """Keep with the request who it is from."""
    scope.setdefault("state", {})[_IDENTITY] = identity


def challenge_with(scope: ASGIScope, challenger: Challenger) -> None:
    """Keep with the request who words its challenge, should it be refused."""
    scope.setdefault("state", {})[_CHALLENGER] = challenger


def identity_in(scope: ASGIScope) -> Identity | None:
    """Who the request is from; None where authentication is off."""
    return scope.get("state", {}).get(_IDENTITY)


def require_scopes(identity: Identity | None, needed: Iterable[Scope]) -> None:
    """Raises `InsufficientScope` unless the identity has all of them; without authentication everybody has."""
    wanted = frozenset(needed)
    if identity is not None and not wanted <= identity.scopes:
        raise InsufficientScope(wanted)


def caller_as(identity: Identity, user: str | None, app: str | None) -> Caller:
    """Who the identity's request is from. `user`, `app`: whom it names itself, None where it names nobody. Raises
    `AnotherUser`, `AnotherApp`."""
    if user not in (None, identity.user):
        raise AnotherUser("the request names another user than its token does")
    if app not in (None, identity.app):
        raise AnotherApp(f"the request names another app than its token does, which is of '{identity.app}'")
    return Caller(identity.user, identity.app, identity.credential)


def may_read(identity: Identity | None) -> bool:
    return identity is None or Scope.READ in identity.scopes


def as_told(result: OperationResult, identity: Identity | None) -> OperationResult:
    """What a write came to, for who asked: texts that are remembered are told to those who may read, others get ids."""
    if may_read(identity):
        return result
    items = [item.model_copy(update={"memory": None, "previous_memory": None}) for item in result.results]
    return result.model_copy(update={"results": items})


def headers_for(error: MemlogError, scope: ASGIScope) -> dict[str, str]:
    """The headers that the answer to the request needs beside its problem."""
    challenger: Challenger | None = scope.get("state", {}).get(_CHALLENGER)
    match error:
        case RateLimited(retry_after=seconds):
            return {"Retry-After": str(seconds)}
        case Unauthenticated() if challenger is not None:
            sent = any(name == b"authorization" for name, _ in scope["headers"])
            first = MCP_FIRST if is_mcp(scope["path"]) else ()
            return {"WWW-Authenticate": challenger.header(scope, "invalid_token" if sent else None, first)}
        case InsufficientScope(needed=needed) if challenger is not None:
            return {"WWW-Authenticate": challenger.header(scope, error.code, needed)}
        case _:
            return {}

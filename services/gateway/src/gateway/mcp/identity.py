"""Who speaks over MCP: by its token, or from the path of each message, or from what the client says of itself.

Identity belongs to a message, never to a session: a session opened under one user's path can be used on another's.
(Over SSE every message comes with the request that opened the stream, and so with that one's names.)
With authentication off a client's name is a claim, not a boundary (architecture §5). With it on, the token says who
speaks: names in the path must agree, and what a client says of its own software decides nothing.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any

from contracts.commands import MAX_NAME
from contracts.errors import InvalidInput
from mcp_types import CLIENT_INFO_META_KEY
from starlette.requests import Request
from starlette.types import Scope

from gateway.auth.refusals import AppsOnly, caller_as, identity_in
from gateway.inputs import is_name, require_name
from gateway.service import OWNER_APP, Caller

ACTOR = "mcp"
NAMELESS = "mcp"
"""The app of a client that does not say its name."""


def caller_of(request: Request, meta: Mapping[str, Any] | None, default_user: str, named: str | None = None) -> Caller:
    """The caller of this message, in which a client may be `named`. Raises as `admitted` does."""
    known = admitted(request.scope)
    if known is not None:
        return known
    claimed = named or (client_name(meta.get(CLIENT_INFO_META_KEY)) if meta else None)
    return Caller(default_user, claimed or name_in_session(request.headers.get("mcp-session-id")) or NAMELESS, ACTOR)


def admitted(scope: Scope) -> Caller | None:
    """The caller by token and path; None where neither says. Raises `InvalidInput` for a path whose names
    are none; with a token, `AnotherUser` and `AnotherApp` for names that are not its own, `AppsOnly` for a person's."""
    path: Mapping[str, str] = scope.get("path_params", {})
    named = path_caller(path) if "client" in path else None
    identity = identity_in(scope)
    if identity is None:
        return named
    if identity.app == OWNER_APP:
        raise AppsOnly("MCP clients need a token of their own: this one is the person's, for REST and the dashboard")
    return caller_as(identity, named and named.user, named and named.app)


def path_caller(path: Mapping[str, str]) -> Caller:
    """The caller that `/mcp/{client}/http/{user}` names."""
    app = require_name(path["client"], "client name in the path")
    if app == OWNER_APP:
        # The owner's own reads see every state; an MCP client is never the owner.
        raise InvalidInput(f"the client name '{OWNER_APP}' is reserved")
    return Caller(require_name(path["user"], "user name in the path"), app, ACTOR)


def client_name(client_info: object) -> str | None:
    """The name in an `Implementation` object ({"name", "version", …}) made fit to name an app; None without one."""
    name = client_info.get("name") if isinstance(client_info, Mapping) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if not isinstance(name, str):
        return None
    cleaned = " ".join("".join(char if char.isprintable() else " " for char in name).split())[:MAX_NAME]
    return cleaned if is_name(cleaned) and cleaned != OWNER_APP else None


def new_session_id(name: str) -> str:
    """A session id that carries the client's name, which the 2025 revisions say at `initialize` only. So nothing is
    kept between messages, and a session outlives a restart. It grants nothing."""
    return f"{os.urandom(16).hex()}.{base64.urlsafe_b64encode(name.encode()).decode().rstrip('=')}"


def name_in_session(session_id: str | None) -> str | None:
    """The client's name in a session id of ours; None for any other."""
    _, dot, encoded = (session_id or "").partition(".")
    if not dot:
        return None
    try:
        name = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return client_name({"name": name})

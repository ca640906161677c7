"""Which scopes a client's message needs, before the server sees it."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import from_json

from gateway.mcp.tools import tools
from gateway.service import Scope

_TOOLS: Mapping[str, Scope] = {tool.name: tool.scope for tool in tools()}
_OF_ALL = frozenset({"initialize", "ping", "server/discover", "tools/list", "logging/setLevel"})
"""What every token may ask: it tells nothing of what is remembered."""


def needed(body: bytes) -> frozenset[Scope]:
    """The scopes that the message in this body needs; those of all messages in a batch. What cannot be read needs
    none: the server refuses it, too."""
    try:
        read: object = from_json(body)
    except ValueError:
        return frozenset()
    messages = cast("list[object]", read) if isinstance(read, list) else [read]
    return frozenset(scope for message in messages for scope in _of(message))


def _of(message: object) -> frozenset[Scope]:
    if not isinstance(message, dict):
        return frozenset()
    fields = cast("dict[str, Any]", message)
    method = fields.get("method")
    if not isinstance(method, str) or method in _OF_ALL or method.startswith("notifications/"):
        return frozenset()
    if method != "tools/call":
        return frozenset({Scope.READ})
    params: object = fields.get("params")
    name = cast("dict[str, Any]", params).get("name") if isinstance(params, dict) else None
    return frozenset({_TOOLS[name]}) if isinstance(name, str) and name in _TOOLS else frozenset()

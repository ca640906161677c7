"""What every request passes before any route sees it: Host, Origin, body size and request id.

The MCP SDK checks its own routes only, so the gateway checks all of them here. A page on the internet can make a
browser send requests to a loopback port (DNS rebinding, cross-site posts): Host and Origin are how that shows.
"""

import os
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar

import structlog
from contracts.errors import InvalidInput, MemlogError, PayloadTooLarge
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import problem_for, problem_response, refused
from gateway.listening import is_loopback

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")
_BODIES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class ForeignRequest(MemlogError):
    """The Host or Origin is not this server's: another site may be behind it."""

    code = "foreign_request"
    status = 403
    remedy = "Use localhost, or add the name to MEMLOG_ALLOWED_HOSTS or MEMLOG_ALLOWED_ORIGINS if it is yours."


_request_id: ContextVar[str] = ContextVar("memlog_request_id")


def current_request_id() -> str:
    """The id of the request being served, as its answer carries it in `X-Request-ID`; outside of one, a fresh id."""
    return _request_id.get("") or os.urandom(16).hex()


def split_authority(authority: str) -> tuple[str, str]:
    """`name[:port]` as (name in lower case without brackets, port or empty). ('', '') when it is not one."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?", authority)
    return ("", "") if match is None else (match[1].strip("[]").lower(), match[2] or "")


class EdgeMiddleware:
    """ASGI middleware around everything. `allowed_hosts` are names without a port, `allowed_origins` are
    `scheme://host[:port]`; loopback hosts and the same origin always pass. `uploads`: paths whose bodies may be larger,
    and how large; they are read as streams."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Iterable[str],
        allowed_origins: Iterable[str],
        max_body_bytes: int,
        uploads: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._origins = frozenset(origin.lower() for origin in allowed_origins)
        self._max_body = max_body_bytes
        self._uploads = uploads or {}
        self._log = structlog.get_logger("gateway.edge")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket routes"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, str] = {}
        hosts = 0
        for key, value in scope["headers"]:
            headers[key] = value.decode("latin-1")
            hosts += key == b"host"
        given = headers.get(b"x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        _request_id.set(request_id)  # it ends with the request's task
        trace.get_current_span().set_attribute("memlog.request_id", request_id)
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), _NO_SNIFF]
            await send(message)

        try:
            self._check_caller(headers, hosts)
            _drop_trailing_slash(scope)
            limit = self._uploads.get(scope["path"])
            if limit is None:
                receive = await self._check_body(scope["method"], headers, receive)
            else:
                receive = self._check_upload(headers, receive, limit)
            await self._app(scope, receive, answer)
        except MemlogError as error:
            await refused(error, scope)(scope, receive, answer)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as error:
            # The one boundary of HTTP: whatever nobody foresaw is logged in full and answered without detail.
            # The route and not the path: paths hold names.
            route = getattr(scope.get("route"), "path", None)
            self._log.exception("request_failed", route=route, request_id=request_id, reason=type(error).__name__)
            if started:
                raise
            await problem_response(problem_for(None))(scope, receive, answer)

    def _check_caller(self, headers: dict[bytes, str], hosts: int) -> None:
        host = headers.get(b"host", "")
        name, port = split_authority(host)
        if hosts != 1 or not (is_loopback(name) or name in self._hosts):
            raise ForeignRequest(
                "the Host header does not name this server: use localhost, or add the name to MEMLOG_ALLOWED_HOSTS"
            )
        origin = headers.get(b"origin")
        if origin is None or origin.lower() in self._origins:
            return
        scheme, _, authority = origin.partition("://")
        origin_name, origin_port = split_authority(authority)
        same = authority.lower() == host.lower()
        alias = origin_port == port and is_loopback(origin_name) and is_loopback(name)
        if scheme not in ("http", "https") or not origin_name or not (same or alias):
            raise ForeignRequest(
                "requests from this Origin are not allowed; add it to MEMLOG_ALLOWED_ORIGINS if it is yours"
            )

    def _check_upload(self, headers: dict[bytes, str], receive: Receive, limit: int) -> Receive:
        """The body as a stream, which ends at the limit whatever length was declared."""
        declared = headers.get(b"content-length", "0")
        if declared.isascii() and declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(_too_large(limit).status, _too_large(limit).message)  # through the form's parser
            return message

        return counted

    async def _check_body(self, method: str, headers: dict[bytes, str], receive: Receive) -> Receive:
        declared = headers.get(b"content-length")
        if declared is None:
            return await self._buffer(receive) if method in _BODIES else receive
        if not (declared.isascii() and declared.isdigit()):
            raise InvalidInput("the Content-Length header is not a number")
        if int(declared) > self._max_body:
            raise _too_large(self._max_body)
        return receive  # the HTTP server holds the body to its declared length

    async def _buffer(self, receive: Receive) -> Receive:
        """Read a body of undeclared length, up to the limit, and hand it on as one message."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                break
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_body:
                raise _too_large(self._max_body)
            if not message.get("more_body", False):
                message = {"type": "http.request", "body": b"".join(chunks), "more_body": False}
                break
        first: Message | None = message

        async def replay() -> Message:
            nonlocal first
            if first is None:
                return await receive()
            held, first = first, None
            return held

        return replay


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the request's body is over the limit of {limit} bytes")


def _drop_trailing_slash(scope: Scope) -> None:
    # Every route answers with and without it, and a redirect would lose the body of a POST in some clients.
    path: str = scope["path"]
    if len(path) > 1 and path.endswith("/"):
        scope["path"] = path[:-1]
        scope["raw_path"] = scope.get("raw_path", path.encode()).removesuffix(b"/")

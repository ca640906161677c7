"""Pages of other sites: closed, but for the origins that the settings allow."""

from collections.abc import Iterable

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_EXPOSED = ("Location", "Mcp-Session-Id", "Memlog-From-Environment", "Retry-After", "WWW-Authenticate", "X-Request-ID")


class CorsMiddleware:
    """ASGI middleware: Starlette's, for requests from `origins` alone. No others are answered with its headers, and
    their preflights are requests like any other. Tokens come in a header, so no cookies are let in."""

    def __init__(self, app: ASGIApp, *, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.lower() for origin in origins)
        self._cors = CORSMiddleware(
            app,
            allow_origins=sorted(self._origins),
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=_EXPOSED,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = next((value for name, value in scope.get("headers", ()) if name == b"origin"), b"").decode("latin-1")
        await (self._cors if origin in self._origins else self._app)(scope, receive, send)

"""The dashboard as it was built (services/dashboard): files without data. What it shows, it asks the API for.

It stands before authentication: a browser that opens a page has no token yet, and there is nothing to protect in it.
"""

import mimetypes
import re
import secrets
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(__file__).parent / "dashboard_files"
PAGES = (
    "/", "/memories", "/memory/*", "/apps", "/apps/*", "/settings", "/events", "/audit", "/projections", "/access",
    "/tokens", "/dead-letters", "/health", "/docs",
)  # fmt: skip
"""They are all one document: which of them is shown, its router decides in the browser."""
_PAGE = re.compile("|".join(re.escape(page).replace(r"\*", "[^/]+") for page in PAGES))
_NOT_OURS = re.compile(r"/(api|mcp|openapi\.json|livez|readyz|metrics|\.well-known|assets)(/.*)?")
"""A browser that goes astray here is answered by the API."""
_NONCE = "__CSP_NONCE__"
_FOR_EVER = "public, max-age=31536000, immutable"
"""The names of assets hold a hash of what is in them."""
_HEADERS = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_NOT_BUILT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Memlog</title></head><body>
<h1>Memlog is running; its dashboard is not built</h1>
<p>Building it needs Node 20.19 or newer. Install Node, then run <code>make run</code> again: it builds the dashboard
once. All that it shows is also in the API: see <a href="/openapi.json">/openapi.json</a>.</p></body></html>"""


class DashboardMiddleware:
    """ASGI middleware: answers what is the dashboard's, and lets everything else pass. `folder` is read at start."""

    def __init__(self, app: ASGIApp, folder: Path = FOLDER) -> None:
        self._app = app
        index = folder / "index.html"
        self._page = index.read_text() if index.is_file() else None
        found = (file for file in folder.rglob("*") if file.is_file() and file != index)
        # All of them are a few megabytes, and a page asks for ten at once.
        self._files = {f"/{file.relative_to(folder).as_posix()}": (file.read_bytes(), _type(file)) for file in found}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(Request(scope)) if scope["type"] == "http" and scope["method"] == "GET" else None
        await (answer or self._app)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        path = request.scope["path"]
        if path in self._files:
            kept = _FOR_EVER if path.startswith("/assets/") else "no-cache"
            content, kind = self._files[path]
            return Response(content, headers={"Cache-Control": kept}, media_type=kind)
        if _PAGE.fullmatch(path):
            return self._document(200)
        if "text/html" in request.headers.get("accept", "") and not _NOT_OURS.fullmatch(path):
            return self._document(404)
        return None

    def _document(self, status: int) -> Response:
        """With a nonce of its own: nothing runs in it that did not come from here."""
        if self._page is None:
            return HTMLResponse(_NOT_BUILT, status, {**_HEADERS, "Content-Security-Policy": _policy("'none'")})
        nonce = secrets.token_urlsafe(16)
        headers = {**_HEADERS, "Content-Security-Policy": _policy(f"'self' 'nonce-{nonce}'")}
        return HTMLResponse(self._page.replace(_NONCE, nonce), status, headers)


def _type(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def _policy(code: str) -> str:
    return (
        f"default-src 'none'; script-src {code}; style-src {code}; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

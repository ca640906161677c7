"""The dashboard as it was built (services/dashboard): files without data. What it shows, it asks the API for."""

import secrets
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

FOLDER = Path(__file__).parent / "dashboard_files"
PAGES = ("/", "/memories", "/memory/{id}", "/apps", "/apps/{id}", "/settings", "/events", "/audit", "/projections",
         "/access", "/tokens", "/dead-letters", "/health")  # fmt: skip
"""The pages. Which of them is shown decides the router in the browser; they are all the same document."""
FILES = ("/icon.svg", "/theme.js")
ASSETS = "/assets"
_NONCE = "__CSP_NONCE__"
_FOR_EVER = "public, max-age=31536000, immutable"
"""The names of assets hold a hash of what is in them."""
_NOT_BUILT = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Memlog</title></head><body>
<h1>Memlog is running; its dashboard is not built</h1>
<p>Building it needs Node 20.19 or newer. Install Node, then run <code>make run</code> again: it builds the dashboard
once. All that it shows is also in the API: see <a href="/docs">/docs</a>.</p></body></html>"""


class Dashboard:
    """The built files of `folder`, read once at start."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        index = folder / "index.html"
        self._page = index.read_text() if index.is_file() else None

    def routes(self) -> list[BaseRoute]:
        pages: list[BaseRoute] = [Route(path, self.page, methods=["GET"]) for path in PAGES]
        if self._page is None:
            return pages
        return [
            *pages,
            *(Route(path, self._file, methods=["GET"]) for path in FILES),
            Mount(ASSETS, _Assets(directory=self._folder / "assets")),
        ]

    async def page(self, request: Request, status: int = 200) -> Response:
        """The document, with a nonce of its own: nothing runs in it that did not come from here."""
        if self._page is None:
            return HTMLResponse(_NOT_BUILT, status, {"Content-Security-Policy": _policy("")})
        nonce = secrets.token_urlsafe(16)
        headers = {
            "Content-Security-Policy": _policy(nonce),
            "Cache-Control": "no-cache",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        }
        return HTMLResponse(self._page.replace(_NONCE, nonce), status, headers)

    async def _file(self, request: Request) -> Response:
        return FileResponse(self._folder / request.url.path.lstrip("/"), headers={"Cache-Control": "no-cache"})


class _Assets(StaticFiles):
    def file_response(self, *args: object, **kwargs: object) -> Response:
        response = super().file_response(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        response.headers["Cache-Control"] = _FOR_EVER
        return response


def _policy(nonce: str) -> str:
    allowed = f"'self' 'nonce-{nonce}'" if nonce else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {allowed}; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

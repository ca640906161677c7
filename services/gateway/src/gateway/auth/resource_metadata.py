"""What a client that was refused can learn without a token: whose tokens count here, and for what (RFC 9728)."""

from urllib.parse import quote

from contracts.tokens import SCOPES
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def resource_url(request: Request, public_url: str | None) -> str:
    """How clients reach this server: as it was set, else as this one did (its Host header was checked)."""
    return public_url or f"{request.url.scheme}://{request.headers['host']}"


def metadata_routes(public_url: str | None, issuer: str | None, scope_prefix: str) -> list[Route]:
    """The document for the whole server and, with the path behind it, for each of its resources, such as `/mcp`.

    Without an issuer it names no authorization server: tokens are those that Memlog issues itself."""

    async def metadata(request: Request) -> Response:
        below = request.path_params.get("below", "")
        document: dict[str, object] = {
            "resource": resource_url(request, public_url) + (f"/{quote(below)}" if below else ""),
            "scopes_supported": [f"{scope_prefix if issuer else ''}{scope}" for scope in SCOPES],
            "bearer_methods_supported": ["header"],
            "resource_name": "Memlog",
        }
        if issuer is not None:
            document["authorization_servers"] = [issuer]
        return JSONResponse(document, headers={"Cache-Control": "public, max-age=300"})

    return [Route(path, metadata, methods=["GET"]) for path in (WELL_KNOWN, f"{WELL_KNOWN}/{{below:path}}")]

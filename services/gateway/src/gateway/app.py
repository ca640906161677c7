"""The gateway's ASGI application: REST and MCP over one `MemoryService`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI

from gateway.auth.identity import Authenticator
from gateway.auth.limits import RateLimits
from gateway.auth.middleware import AuthMiddleware, AuthOptions
from gateway.auth.resource_metadata import metadata_routes
from gateway.connections import Connections
from gateway.cors import CorsMiddleware
from gateway.dashboard import DashboardMiddleware
from gateway.edge import EdgeMiddleware
from gateway.errors import install
from gateway.mcp.endpoint import McpEndpoint
from gateway.mcp.server import create_server
from gateway.mcp.sse import SseEndpoint
from gateway.mcp.sse_session import SseOptions
from gateway.measuring import MeasuringMiddleware
from gateway.rest import ROUTERS, documentation
from gateway.rest.backup import IMPORT_PATH
from gateway.rest.common import Rest
from gateway.rest.event_stream import OpenStreams
from gateway.service import MemoryService
from gateway.tracing import TracingMiddleware


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How the gateway serves. `allowed_hosts` are names without a port and `allowed_origins` are
    `scheme://host[:port]`, both beyond loopback and the same origin, which always pass. `conformance_fixtures` are for
    the tests of MCP alone. `authenticators` prove who comes; without any, authentication is off. `connections` is told
    who is connected."""

    version: str
    default_user: str = "default"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    trace_url: str | None = None
    max_body_bytes: int = 1024 * 1024
    max_import_bytes: int = 128 * 1024 * 1024
    sse: SseOptions = field(default_factory=SseOptions)
    authenticators: tuple[Authenticator, ...] = ()
    auth: AuthOptions = field(default_factory=AuthOptions)
    connections: Connections = field(default_factory=Connections)
    conformance_fixtures: bool = False


def create_app(service: MemoryService, options: GatewayOptions) -> FastAPI:
    """The application. Raises `ConfigurationError` for a rate that is none.

    Serve it with its lifespan on. Set `app.state.stopping` (an `asyncio.Event`) when a stop begins: open streams then
    finish their calls and end, which an HTTP server only waits for."""
    connections = options.connections
    server = create_server(service, default_user=options.default_user, version=options.version, connections=connections)
    endpoint = McpEndpoint(server, max_body_bytes=options.max_body_bytes, sessions=options.conformance_fixtures)
    if options.conformance_fixtures:
        from gateway.mcp.conformance import add_fixtures  # only here: production knows nothing of it

        add_fixtures(server)
    stopping = asyncio.Event()
    sse = SseEndpoint(server, stopping, connections, options.sse)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with endpoint.run():
            yield

    app = FastAPI(
        title="Memlog", version=options.version, lifespan=lifespan, redirect_slashes=False,
        # The dashboard has a page for it: FastAPI's load their scripts from elsewhere.
        docs_url=None, redoc_url=None,
        # Its own spans hold paths and queries, and so names and texts.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        summary="A private, local-first memory layer. Errors are RFC 9457 problems with a stable code.",
    )  # fmt: skip
    app.state.stopping = stopping
    app.state.sse = sse
    app.state.connections = connections
    app.state.event_streams = OpenStreams(stopping, options.sse, connections)
    app.state.rest = Rest(service, options.default_user, trace_url=options.trace_url)
    install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.extend([*sse.routes(), *endpoint.routes()])
    # From the inside out: each is added around those before it.
    if options.authenticators:
        auth = options.auth
        app.router.routes.extend(metadata_routes(auth.public_url, auth.issuer, auth.scope_prefix))
        limits = RateLimits(auth.rate_limit, auth.failure_limit)
        app.add_middleware(AuthMiddleware, authenticators=options.authenticators, options=auth, limits=limits)
    app.add_middleware(DashboardMiddleware)
    if options.allowed_origins:
        app.add_middleware(CorsMiddleware, origins=options.allowed_origins)
    app.add_middleware(
        EdgeMiddleware,
        allowed_hosts=options.allowed_hosts,
        allowed_origins=options.allowed_origins,
        max_body_bytes=options.max_body_bytes,
        uploads={IMPORT_PATH: options.max_import_bytes},
    )
    app.add_middleware(TracingMiddleware)
    app.add_middleware(MeasuringMiddleware, routes=app.router.routes)
    documentation.install(app, authenticated=bool(options.authenticators))
    return app

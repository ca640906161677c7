"""Composition of the gateway: use cases over NATS and the read models, served by uvicorn."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from importlib.metadata import version

import httpx
import uvicorn
from contracts.errors import ConfigurationError
from runtime.environment_settings import from_environment
from runtime.postgres import create_pool
from runtime.server_health import ServerHealth
from runtime.service import Context
from runtime.stored_settings import ChosenLanguageModel, StoredSettings
from runtime.tasks import end
from runtime.waiting import Positions

from gateway.app import GatewayOptions, create_app
from gateway.auth.identity import Authenticator
from gateway.auth.middleware import AuthOptions
from gateway.auth.tokens import OperatorAuthenticator, TokenAuthenticator, read_admin_token
from gateway.connections import Connections
from gateway.listening import bind, check_bind, check_fixtures
from gateway.use_cases import Memlog
from gateway.use_cases.access import AccessRules
from gateway.use_cases.access_log import AccessLogReading
from gateway.use_cases.activity import Activities
from gateway.use_cases.apps import Apps
from gateway.use_cases.archive_policies import ArchivePolicies
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.auditing import Auditing
from gateway.use_cases.categories import Categories
from gateway.use_cases.changes import Changes
from gateway.use_cases.commanding import Commanding
from gateway.use_cases.config import Configuring
from gateway.use_cases.connected import ConnectedClients
from gateway.use_cases.dead_letters import DeadLetterDesk
from gateway.use_cases.exporting import Exporting
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.health import Checking
from gateway.use_cases.identity import Identities
from gateway.use_cases.importing import Importing
from gateway.use_cases.log_reading import LogReading
from gateway.use_cases.operations import Operations
from gateway.use_cases.projections import Projections
from gateway.use_cases.quarantined import Quarantined
from gateway.use_cases.reading import Reading
from gateway.use_cases.related import Related
from gateway.use_cases.sources import Sources
from gateway.use_cases.states import States
from gateway.use_cases.time_travel import TimeTravel
from gateway.use_cases.tokens import Tokens
from gateway.use_cases.verifying import Verifying
from gateway.use_cases.writing import Writing

NAME = "gateway"
_POOL_SIZE = 4
_QUERY_S = 5.0
"""Past this a query is given up and its request answered 503: PostgreSQL is away, or hangs."""
_STOP_STREAMS_S = 2
_KEEP_ALIVE_S = 75
"""Clients keep connections between calls; closing one as its next request leaves makes that fail."""


@contextlib.asynccontextmanager
async def memlog(context: Context, connections: Connections) -> AsyncGenerator[Memlog]:
    """The use cases, wired to this context's log and read models, and to who is connected here."""
    settings = context.settings
    pool = await create_pool(
        settings.reader_dsn, application_name=NAME, size=_POOL_SIZE, command_timeout=_QUERY_S, traced=True
    )
    positions = Positions(context.client)
    operations = Operations(pool)
    quarantined = Quarantined(context.js, context.events, positions)
    server = ServerHealth(settings.nats_monitor_url)
    commanding = Commanding(
        context.client, context.js, positions, operations, quarantined, context.events, server, settings.wait_timeout
    )
    identities = Identities(context.js, context.keys, commanding)
    trail = AuditTrail(context.js, context.shards, server)
    freshness = Freshness(positions, context.events, context.shards)
    time_travel = TimeTravel(pool, freshness, context.shards)
    projections = Projections(context.client)
    connected = ConnectedClients(context.client, connections)
    stored = StoredSettings(context.js, context.keys, context.shards, settings.default_user)
    chosen = ChosenLanguageModel(stored, settings)
    following: list[asyncio.Task[None]] = []
    try:
        await positions.open()
        await commanding.open()
        await freshness.open()
        await chosen.refresh()
        await connected.open()
        following += [asyncio.create_task(freshness.follow()), asyncio.create_task(chosen.follow())]
        yield Memlog(
            Writing(identities, commanding, pool, trail, freshness, quarantined, chosen.wanted),
            States(identities, commanding, pool, freshness),
            Categories(identities, commanding, pool, freshness),
            AccessRules(identities, commanding, pool, trail, freshness),
            Reading(
                context.client,
                pool,
                identities,
                commanding,
                operations,
                quarantined,
                context.events,
                trail,
                freshness,
                time_travel,
            ),
            Changes(identities, pool, trail, freshness, time_travel),
            Apps(identities, commanding, pool, trail, freshness),
            Activities(identities, pool, freshness),
            AccessLogReading(identities, pool, freshness),
            Auditing(identities, pool, freshness, context.shards),
            Related(context.client, identities, pool, trail, freshness),
            Exporting(identities, pool, trail, freshness),
            Importing(identities, commanding, pool, freshness),
            LogReading(context.client, context.js, context.events, identities, trail),
            DeadLetterDesk(context.client, context.js, context.events, identities, trail),
            projections,
            Verifying(context.client),
            Checking(context.client, server, pool, positions, freshness, context.shards),
            Configuring(identities, commanding, stored, from_environment(settings), projections.change_projection),
            ArchivePolicies(identities, commanding, pool, freshness),
            Sources(identities, commanding, context.events, pool, chosen.wanted),
            Tokens(identities, commanding, pool, freshness),
            connected,
        )
    finally:
        await end(*following)
        await connected.close()
        await commanding.close()
        await positions.close()
        pool.terminate()


@contextlib.asynccontextmanager
async def authenticators(context: Context) -> AsyncGenerator[tuple[Authenticator, ...]]:
    """Who proves tokens, as the settings have it; nobody while authentication is off. Raises `ConfigurationError`."""
    settings = context.settings
    if settings.auth == "off":
        yield ()
        return
    own: list[Authenticator] = []
    if settings.admin_token_file is not None:
        admin = read_admin_token(settings.admin_token_file, settings.secrets_path)
        own.append(OperatorAuthenticator(admin, settings.default_user))
    own.append(TokenAuthenticator(context.js, context.keys, context.shards, settings.default_user))
    if settings.auth == "token":
        yield tuple(own)
        return
    if settings.oidc_issuer is None:
        raise ConfigurationError("MEMLOG_AUTH=oidc needs to know whose tokens count: set MEMLOG_OIDC_ISSUER")
    # Not at the top: jwt and its algorithms cost every start, and few ask an issuer.
    from gateway.auth.issuer import IssuerKeys
    from gateway.auth.oidc import OidcAuthenticator, OidcOptions, audiences

    expected = OidcOptions(
        issuer=settings.oidc_issuer,
        audiences=audiences(settings.oidc_audience, settings.public_url),
        user_claim=settings.oidc_user_claim,
        app_claim=settings.oidc_app_claim,
        owner_clients=settings.oidc_owner_clients,
        scope_prefix=settings.oidc_scope_prefix,
        operator=settings.default_user,
    )
    async with httpx.AsyncClient() as http:
        yield (*own, OidcAuthenticator(IssuerKeys(settings.oidc_issuer, http), expected))


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the service decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


async def serve(context: Context, listener: socket.socket | None = None) -> None:
    """Serve HTTP until stopped: then take no more requests, finish those under way, and close."""
    settings = context.settings
    check_bind(settings.host, authenticated=settings.auth != "off")
    check_fixtures(settings.host, fixtures=settings.conformance_fixtures)
    listener = listener or bind(settings.host, settings.port)
    issued_elsewhere = settings.auth == "oidc"
    connections = Connections()
    async with memlog(context, connections) as service, authenticators(context) as who:
        options = GatewayOptions(
            version=version("memlog-gateway"),
            default_user=settings.default_user,
            trace_url=settings.trace_url,
            allowed_hosts=settings.allowed_hosts,
            allowed_origins=settings.allowed_origins,
            max_body_bytes=settings.max_body_bytes,
            max_import_bytes=settings.max_import_bytes,
            authenticators=who,
            connections=connections,
            auth=AuthOptions(
                public_url=settings.public_url,
                issuer=settings.oidc_issuer if issued_elsewhere else None,
                scope_prefix=settings.oidc_scope_prefix if issued_elsewhere else "",
                rate_limit=settings.rate_limit,
            ),
            conformance_fixtures=settings.conformance_fixtures,
        )
        app = create_app(service, options)
        server = _Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=_STOP_STREAMS_S,
                timeout_keep_alive=_KEEP_ALIVE_S,
                server_header=False,
                lifespan="on",
            )
        )
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        stopping = asyncio.ensure_future(context.stop.wait())
        context.ready.set()
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            app.state.stopping.set()
            server.should_exit = True
            stopping.cancel()
            await serving
        if not context.stop.is_set():
            raise RuntimeError("the HTTP server ended by itself")

"""PostgreSQL through asyncpg: pools whose connections are warm, and its errors in Memlog's words.

asyncpg ships no complete types, so the part of it that Memlog uses is described here as protocols: nothing else
needs to know. Only `postgres_errors` decides what a failure of the server means.
"""

import json
from collections.abc import AsyncIterable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Protocol, cast

import asyncpg
from asyncpg import exceptions as pg
from contracts.errors import ConfigurationError, MemlogError, Unavailable

from runtime.spans import statement


class Row(Protocol):
    """A row of a result: by column name or by index."""

    def __getitem__(self, key: str | int, /) -> Any: ...

    def keys(self) -> Iterator[str]: ...

    def values(self) -> Iterator[Any]: ...


class Executor(Protocol):
    """What a pool and a connection have in common. A pool runs each call on a connection of its choice."""

    async def execute(self, query: str, *args: object, timeout: float | None = None) -> str: ...

    async def fetch(self, query: str, *args: object, timeout: float | None = None) -> Sequence[Row]: ...

    async def fetchrow(self, query: str, *args: object, timeout: float | None = None) -> Row | None: ...

    async def fetchval(self, query: str, *args: object, column: int = 0, timeout: float | None = None) -> Any: ...


class Connection(Executor, Protocol):
    """One connection; `transaction()` commits at the end of the block and rolls back on an error."""

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False
    ) -> AbstractAsyncContextManager[object]: ...

    def cursor(
        self, query: str, *args: object, prefetch: int | None = None, timeout: float | None = None
    ) -> AsyncIterable[Row]:
        """The rows, `prefetch` of them a round trip; within a transaction."""
        ...


class Pool(Executor, Protocol):
    """Connections to one server, all of them opened and warmed at creation."""

    def acquire(self, *, timeout: float | None = None) -> AbstractAsyncContextManager[Connection]: ...

    async def close(self) -> None: ...

    def terminate(self) -> None: ...


class StatementRefused(MemlogError):
    """The server refused a statement: a defect of the statement or of its values, not of the moment.

    The message names the kind of error only: the server's own words repeat the row, and so a user's content.
    """

    code = "statement_refused"
    status = 500
    remedy = (
        "`memlog dead list` shows what was refused and why. Remove the cause (or upgrade Memlog: it is a "
        "defect), then `memlog dead redrive`."
    )


_TRANSIENT = (
    pg.PostgresConnectionError,
    pg.OperatorInterventionError,  # the server stops, starts, or cancelled the statement
    pg.InsufficientResourcesError,  # disk full, too many connections
    pg.TransactionRollbackError,  # deadlock, serialization
    pg.LockNotAvailableError,
    pg.PostgresSystemError,
    pg.InternalClientError,  # asyncpg, when the server ended a connection that idled
    OSError,  # includes TimeoutError
)
_CONFIGURATION = (pg.InvalidAuthorizationSpecificationError, pg.InvalidCatalogNameError, pg.ClientConfigurationError)

DERIVED_STORE: Mapping[str, str] = {
    # A derived store resumes from the position that survived a crash, so a commit need not wait for the disk.
    "synchronous_commit": "off",
    # An owner that was stopped in the middle of a transaction must not keep the next one from its rows.
    "idle_in_transaction_session_timeout": "3s",
    # Its statements join a few given rows with a table by key. Prepared while a table is still empty, they would
    # keep a plan that scans it: a replay would slow down with the square of its length.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Session settings for pools through which a projection writes."""


@contextmanager
def postgres_errors() -> Generator[None]:
    """Within the block, failures of PostgreSQL are raised as Memlog's errors.

    `Unavailable`: unreachable, stopping, out of resources, too slow: try again. `ConfigurationError`: wrong
    credentials, database or DSN. `StatementRefused`: everything else that the server refuses.
    """
    try:
        yield
    except _TRANSIENT as error:
        raise Unavailable(f"PostgreSQL does not answer ({_kind(error)})") from error
    except _CONFIGURATION as error:
        raise ConfigurationError(f"PostgreSQL cannot be used as configured: {error}") from error
    except pg.PostgresError as error:
        raise StatementRefused(f"PostgreSQL refused a statement: {_kind(error)}") from None
    except pg.InterfaceError as error:
        if isinstance(error, ValueError):  # an argument that does not fit its type
            raise StatementRefused(f"PostgreSQL refused a statement: {_kind(error)}") from None
        # "connection is closed", "pool is closing": asyncpg has no class of its own for these.
        raise Unavailable(f"the connection to PostgreSQL is gone ({error})") from error


async def create_pool(
    dsn: str,
    *,
    application_name: str,
    size: int = 4,
    settings: Mapping[str, str] | None = None,
    command_timeout: float = 30.0,
    traced: bool = False,
) -> Pool:
    """Open `size` connections, all warm. A connection that is lost is replaced, and warmed, at its next use.

    `settings` are session settings (`DERIVED_STORE` for a projection's pool), `command_timeout` is seconds a
    statement. jsonb is Python values on both sides; times are aware datetimes in UTC. `traced`: each statement is a
    span, for those that somebody waits for.
    Raises `Unavailable`, `ConfigurationError`.
    """
    with postgres_errors():
        pool = await asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            dsn,
            min_size=size,
            max_size=size,
            init=_warm,
            connection_class=_TracedConnection if traced else _Connection,
            command_timeout=command_timeout,
            timeout=min(10.0, command_timeout),
            max_inactive_connection_lifetime=0.0,  # a connection that idled away would have to be warmed again
            max_cached_statement_lifetime=0,
            statement_cache_size=256,
            server_settings={"application_name": application_name, "timezone": "UTC", "jit": "off"}
            | dict(settings or {}),
        )
    return cast(Pool, pool)


class _Connection(asyncpg.Connection):
    """Memlog leaves nothing behind in a session (settings and locks end with their transaction), so a connection
    that goes back to the pool needs no reset, which would be a round trip for each use."""

    def get_reset_query(self) -> str:
        return ""


class _TracedConnection(_Connection):
    """Each statement is a span of the request that it is for."""

    async def execute(self, query: str, *args: object, **options: Any) -> str:
        with statement(query):
            return await cast(Any, super()).execute(query, *args, **options)

    async def fetch(self, query: str, *args: object, **options: Any) -> Any:
        with statement(query):
            return await cast(Any, super()).fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: object, **options: Any) -> Any:
        with statement(query):
            return await cast(Any, super()).fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: object, **options: Any) -> Any:
        with statement(query):
            return await cast(Any, super()).fetchval(query, *args, **options)


class _Introspected(Protocol):
    async def set_type_codec(
        self, typename: str, *, schema: str, encoder: object, decoder: object, format: str
    ) -> None: ...

    async def fetchrow(self, query: str, *args: object) -> Row | None: ...


async def _warm(connection: _Introspected) -> None:
    """Have asyncpg look up the types that Memlog uses: the first queries of a connection pay for it."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_to_json, decoder=json.loads, format="text")
    query = "SELECT $1::jsonb, $2::text[], $3::bigint[], $4::timestamptz[], now(), 1.0::float8, true, 'x'::text"
    for _ in range(2):
        await connection.fetchrow(query, {}, [], [], [])


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _kind(error: BaseException) -> str:
    """Class, SQLSTATE and constraint, none of which holds content."""
    state = getattr(error, "sqlstate", None)
    constraint = getattr(error, "constraint_name", None)
    return " ".join(str(part) for part in (type(error).__name__, state, constraint) if part)

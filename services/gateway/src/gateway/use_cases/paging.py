"""Pages whose total agrees with their rows."""

from collections.abc import Sequence

from runtime.postgres import Pool, Row, postgres_errors


async def fetch_page(
    pool: Pool, count: str, rows: str, where: Sequence[object], *, page: int, size: int
) -> tuple[int, Sequence[Row]]:
    """How many rows there are, and those of the page (from 1), as of one moment. Both statements take `where`, and
    `rows` limit and offset behind it. Raises `Unavailable`."""
    with postgres_errors():
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            # Planned for what is asked for now: a plan for anything reads a long list where an index has the page.
            await connection.execute(
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET LOCAL plan_cache_mode = force_custom_plan"
            )
            total: int = await connection.fetchval(count, *where)
            return total, await connection.fetch(rows, *where, size, (page - 1) * size)

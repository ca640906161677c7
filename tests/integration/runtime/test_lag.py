"""How far behind a consumer is, and for how long, as metrics and health tell it."""

import asyncio
from contextlib import asynccontextmanager
from typing import Any

from contracts.streams import DEAD, commands
from opentelemetry.metrics import CallbackOptions
from runtime import metrics
from runtime.lag import Behind, Lag
from support.servers import Log
from support.stack import eventually

STREAM = commands(0).name
SUBJECT = "memlog.cmd.0.someone.{}"


def shown(gauge: metrics.Gauge, lag: Lag) -> float | None:
    """What a gauge tells of this consumer."""
    values = {
        observation.value
        for observation in gauge._observe(CallbackOptions())  # pyright: ignore[reportPrivateUsage]
        if (observation.attributes or {}).get("consumer") == lag.batch["messaging.consumer.group.name"]
    }
    return values.pop() if values else None


@asynccontextmanager
async def followed(log: Log, at: dict[str, int], **options: Any):
    """The lag of a consumer that has reached `at`, while it is looked after."""

    async def behind() -> Behind:
        last = await log.events.last_sequence(STREAM)
        return Behind(at["sequence"], last - at["sequence"])

    lag = Lag("somebody", STREAM, log.js, behind, **options)
    with lag.shown(lambda: at["sequence"] == 0):
        following = asyncio.create_task(lag.follow())
        try:
            yield lag
        finally:
            following.cancel()
            await asyncio.wait((following,))


async def test_a_consumer_that_has_not_reached_the_end_is_behind_since_its_next_message_was_recorded(log: Log) -> None:
    for number in range(3):
        await log.js.publish(SUBJECT.format(number), b"{}")
    async with followed(log, {"sequence": 1}) as lag:

        async def known() -> bool:
            return lag.behind is not None

        await eventually(known, timeout=30)
        assert (shown(metrics.POSITION, lag), shown(metrics.LAG, lag), shown(metrics.FAILING, lag)) == (1, 2, 0)
        first = shown(metrics.AGE, lag)
        assert first is not None and 0 <= first < 60

        async def older() -> bool:
            now = shown(metrics.AGE, lag)
            return now is not None and now > first

        await eventually(older, timeout=30)


async def test_only_messages_that_a_consumer_takes_say_since_when_it_is_behind(log: Log) -> None:
    await log.js.publish(SUBJECT.format("other"), b"{}")
    async with followed(log, {"sequence": 0}, subjects=(SUBJECT.format("mine"),)) as lag:

        async def known() -> bool:
            return lag.behind is not None

        await eventually(known, timeout=30)
        assert shown(metrics.AGE, lag) == 0
        assert shown(metrics.FAILING, lag) == 1


async def test_its_dead_letters_are_counted_and_nobody_elses(log: Log) -> None:
    for consumer, number in (("somebody", 1), ("somebody", 2), ("another", 1)):
        await log.js.publish(f"memlog.dead.{consumer}.0.someone.{number}", b"{}", stream=DEAD.name)
    async with followed(log, {"sequence": 0}) as lag:

        async def counted() -> bool:
            return shown(metrics.DEAD_LETTERS, lag) == 2

        await eventually(counted, timeout=30)


async def test_what_is_not_looked_after_any_more_has_no_number(log: Log) -> None:
    async with followed(log, {"sequence": 0}) as lag:

        async def known() -> bool:
            return lag.behind is not None

        await eventually(known, timeout=30)
    assert lag.behind is None
    assert [shown(gauge, lag) for gauge in (metrics.LAG, metrics.AGE, metrics.POSITION)] == [None] * 3

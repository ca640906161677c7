"""Composition of the categorizer. It has no work yet: it stands in the process, says so, and stops in order."""

from contracts.api import ServiceHealth
from runtime.health import answer_health
from runtime.service import Context

NAME = "categorizer"


async def serve(context: Context) -> None:
    """Answer health until stopped."""

    def describe() -> ServiceHealth:
        return ServiceHealth(service=NAME, ok=True, facts={"classifier": None})

    await answer_health(context.client, NAME, describe)
    context.ready.set()
    await context.stop.wait()

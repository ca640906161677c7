"""A projection whose store has generations, as a service runs it: a runner for each shard, and who keeps them."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from contracts.api import ServiceHealth
from contracts.generations import RebuildProgress
from contracts.subjects import switched_subject
from nats.aio.msg import Msg
from pydantic import JsonValue

from runtime.buried import Buried
from runtime.following import Following, OpenGenerations
from runtime.generation_desk import GenerationDesk
from runtime.generations import GenerationKeeper
from runtime.health import projections_health
from runtime.metrics import REBUILD_DONE, REBUILD_NEEDS, Value
from runtime.nats import subscribe
from runtime.projection import ProjectionRunner
from runtime.reading import Reading
from runtime.rebuilding import Rebuilding
from runtime.service import Context
from runtime.settings import as_environment


class KeptProjection:
    """`stream_of` names the stream of a shard, `batch` bounds events per commit. `switched` is told on every instance
    when another generation serves. `work()` is what the service runs."""

    def __init__(
        self,
        context: Context,
        keeper: GenerationKeeper,
        stream_of: Callable[[int], str],
        *,
        batch: int = 500,
        switched: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self.name = keeper.projection
        self._context = context
        self._switched = switched
        self.rebuilding = Rebuilding(
            keeper, context.client, context.leases, context.shards, as_environment(context.settings)
        )
        self._desk = GenerationDesk(self.rebuilding, context.client, context.events, stream_of, context.shards)
        opened = OpenGenerations(keeper)
        self.runners = [self._runner(shard, stream_of(shard), opened, batch) for shard in range(context.shards)]

    def _runner(self, shard: int, stream: str, opened: OpenGenerations, batch: int) -> ProjectionRunner:
        context = self._context
        buried = Buried(context.events, self.name, shard, stream)
        reading = Reading(context.events, context.keys, buried, shard, stream)
        following = Following(self.name, shard, opened, context.client, reading)
        return ProjectionRunner(
            self.name,
            shard,
            stream,
            following.store,
            context.client,
            context.js,
            context.events,
            context.keys,
            batch,
            following,
        )

    async def open(self) -> None:
        """Listen for switches of other instances."""
        if self._switched is None:
            return
        told = self._switched

        async def heard(message: Msg) -> None:
            await told(int(message.data))

        await subscribe(self._context.client, switched_subject(self.name), heard)

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """For `run_until_stopped`."""
        leases = self._context.leases

        async def keep(_: int) -> None:
            with (
                REBUILD_DONE.known(lambda: self._rebuild(lambda at: at.events)),
                REBUILD_NEEDS.known(lambda: self._rebuild(lambda at: at.of)),
            ):
                await self._desk.run()

        return [
            *(leases.run_owned(f"{self.name}.{each.status.shard}", each.run) for each in self.runners),
            leases.run_owned(f"generations.{self.name}", keep),
        ]

    def _rebuild(self, value: Callable[[RebuildProgress], int]) -> list[Value]:
        at = self.rebuilding.progress
        return [(0 if at is None else value(at), {"consumer": self.name})]


def kept_health(
    service: str, kept: Iterable[KeptProjection], facts: dict[str, JsonValue] | None = None
) -> ServiceHealth:
    """Health of a service that runs such projections. A rebuild is told of, and one that does not get on; neither is a
    failure of the service, since what serves goes on."""
    kept = list(kept)
    shown = dict(facts or {})
    words: list[str] = []
    for projection in kept:
        at = projection.rebuilding.progress
        if at is not None:
            left = "" if at.seconds_left is None else f", about {at.seconds_left:,.0f} s left"
            words.append(
                f"{projection.name}: generation {at.number} is being filled ({at.events:,} of {at.of:,} events{left})"
            )
        if projection.rebuilding.failure is not None:
            words.append(f"{projection.name}: {projection.rebuilding.failure}")
        for runner in projection.runners:
            if runner.status.owner:
                shown[f"generation.{projection.name}.{runner.status.shard}"] = runner.generation
    health = projections_health(service, [runner.status for each in kept for runner in each.runners], shown)
    detail = "; ".join(filter(None, (health.detail, *words)))
    return health.model_copy(update={"detail": detail or None})

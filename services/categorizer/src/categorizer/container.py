"""Composition of the categorizer: one consumer of events per shard, owned by lease."""

import asyncio
import contextlib
from dataclasses import replace

import structlog
from contracts.api import ServiceHealth
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.errors import MemlogError, Unavailable
from contracts.streams import CATEGORIZER_CONSUMER, events
from contracts.subjects import ROOT, redrive_subject
from nats.aio.msg import Msg
from pydantic import JsonValue
from runtime.consumer import Calm, CommandConsumer
from runtime.dead_letters import SEQUENCE, SUBJECT, DeadLetters
from runtime.errors import NATS_FAILURES
from runtime.health import answer_health
from runtime.nats import subscribe
from runtime.service import Context, run_until_stopped
from runtime.stored_settings import ChosenLanguageModel, StoredSettings
from runtime.waiting import Positions

from categorizer.beside import Beside
from categorizer.categories import Categories, classifier_id
from categorizer.embedding import Embedding
from categorizer.handler import CategorizingHandler

log = structlog.get_logger()
NAME = "categorizer"
_CALM = Calm(quiet=0.25, patience=5.0)
_PREPARE_FIRST, _PREPARE_MOST = 0.5, 10.0


class _Shard:
    """One shard while this process owns it."""

    def __init__(self, context: Context, shard: int, handler: CategorizingHandler, beside: Beside) -> None:
        self._context = context
        self._stream = events(shard).name
        self._shard = shard
        self._handler = handler
        self.beside = beside
        self._letters = DeadLetters(context.js, context.events, CATEGORIZER_CONSUMER)
        kinds = (f"{ROOT}.evt.{shard}.*.memory.*", f"{ROOT}.evt.{shard}.*.category.*")
        self.consumer = CommandConsumer(
            context.client, context.js, self._stream, CATEGORIZER_CONSUMER, handler.handle, kinds, _CALM
        )

    async def run(self) -> None:
        """Categorize until cancelled."""
        redrive = await subscribe(
            self._context.client, redrive_subject(CATEGORIZER_CONSUMER, self._shard), self._redrive
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.beside.run())
                tasks.create_task(self.consumer.run())
        finally:
            with contextlib.suppress(*NATS_FAILURES):
                await redrive.unsubscribe()

    async def _redrive(self, message: Msg) -> None:
        """What was given up on, once more: the dead letters of what works go. Texts do not wait for each other."""
        try:
            request = RedriveRequest.model_validate_json(message.data)
            reply = RedriveReply()
            for letter in await self._letters.letters(request.subject):
                original = replace(letter, subject=letter.headers[SUBJECT], sequence=int(letter.headers[SEQUENCE]))
                failure = None if original.sequence in request.without else await self._handler.again(original)
                if failure is None:
                    await self._letters.remove(letter)
                elif reply.stays is None:
                    reply = RedriveReply(stays=f"dead letter {letter.sequence} cannot be categorized: {failure}")
        except Exception as error:  # noqa: BLE001 - the operator must be told, whatever it is
            log.warning("redrive_failed", shard=self._shard, error=f"{type(error).__name__}: {error}")
            reply = RedriveReply(error=f"{type(error).__name__}: {error}")
        await message.respond(reply.model_dump_json().encode())


async def serve(context: Context) -> None:
    """Own as many shards as others leave; categorize new and revised texts until stopped."""
    positions = Positions(context.client)
    await positions.open()
    embedding = Embedding(context.client)
    categories = Categories(context.events, embedding)
    stored = StoredSettings(context.js, context.keys, context.shards, context.settings.default_user)
    chosen = ChosenLanguageModel(stored, context.settings)
    with contextlib.suppress(Unavailable):  # it is looked for again
        await chosen.refresh()
    owned: dict[int, _Shard] = {}

    async def own(shard: int, _: int) -> None:
        beside = Beside(context.js, events(shard).name)
        handler = CategorizingHandler(
            shard,
            context.js,
            context.events,
            context.keys,
            positions,
            embedding,
            categories,
            beside,
            lambda: chosen.model,
        )
        owned[shard] = _Shard(context, shard, handler, beside)
        try:
            await owned[shard].run()
        finally:
            owned.pop(shard, None)

    async def stand(shard: int) -> None:
        await context.leases.run_owned(f"{NAME}.{shard}", lambda epoch: own(shard, epoch))

    def describe() -> ServiceHealth:
        classifier = None if embedding.embedder is None else classifier_id(embedding.embedder)
        facts: dict[str, JsonValue] = {"classifier": classifier, "owns": [*sorted(owned)]}
        failures: list[str] = []
        for shard, at in owned.items():
            facts[f"events.{shard}"] = {**at.consumer.counts}
            behind = at.consumer.lag.behind
            facts[f"lag.{shard}"] = None if behind is None else behind.waiting
            facts[f"asking.{shard}"] = len(at.beside)
            if failure := at.consumer.failure or at.beside.failure:
                failures.append(f"shard {shard}: {failure}")
        said = [*failures]
        if chosen.wanted():
            facts |= {"llm": None if chosen.model is None else chosen.model.name, "llm_failure": chosen.failure}
            # Not down: the classifier stands in for it.
            said += [chosen.failure] if chosen.failure else []
        return ServiceHealth(service=NAME, ok=not failures, detail="; ".join(said) or None, facts=facts)

    await answer_health(context.client, NAME, describe, context.probe)
    context.ready.set()
    try:
        await run_until_stopped(
            context.stop, chosen.follow(), _prepare(categories), *(stand(shard) for shard in range(context.shards))
        )
    finally:
        await positions.close()


async def _prepare(categories: Categories) -> None:
    """Learn the categories' vectors before the first text comes; then there is nothing to do."""
    delay = _PREPARE_FIRST
    while True:
        try:
            await categories.seeds()
            break
        except MemlogError as error:
            level = log.info if isinstance(error, Unavailable) else log.warning
            level("categories_not_ready", error=error.message)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _PREPARE_MOST)
    await asyncio.Event().wait()

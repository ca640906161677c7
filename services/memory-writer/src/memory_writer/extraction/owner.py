"""Who reads the texts: one reactor a shard, owned by lease, beside the writer and independent of it."""

import asyncio
import contextlib

import structlog
from contracts.dead_letters import RedriveReply, RedriveRequest
from contracts.errors import Unavailable
from contracts.streams import EXTRACTION_CONSUMER, events
from contracts.subjects import redrive_subject, sources_of_shard
from nats.aio.msg import Msg
from pydantic import JsonValue
from runtime.consumer import CommandConsumer
from runtime.dead_letters import SEQUENCE, DeadLetters
from runtime.errors import NATS_FAILURES
from runtime.nats import subscribe
from runtime.service import Context
from runtime.stored_settings import ChosenLanguageModel, StoredSettings

from memory_writer.extraction.extractor import Extractor
from memory_writer.extraction.reactor import ExtractionReactor
from memory_writer.extraction.similar import Remembered

log = structlog.get_logger()
_TEXTS_A_REQUEST = 2
"""Texts in hand for each request that the model may be asked at once: some wait for the index or the writer."""
_LOOK_AGAIN_S = 0.5


class Extraction:
    """The reactors of the shards that this process owns, and the model that they ask."""

    def __init__(self, context: Context) -> None:
        self._context = context
        settings = context.settings
        stored = StoredSettings(context.js, context.keys, context.shards, settings.default_user)
        self._chosen = ChosenLanguageModel(stored, settings)
        self._reactors: dict[int, tuple[ExtractionReactor, CommandConsumer]] = {}

    async def follow(self) -> None:
        """Follow which model is wanted, until cancelled."""
        await self._chosen.follow()

    async def stand(self, shard: int) -> None:
        """Read the shard's texts whenever nobody else does, until cancelled."""
        await self._context.leases.run_owned(f"{EXTRACTION_CONSUMER}.{shard}", lambda epoch: self._own(shard))

    def as_facts(self) -> dict[str, JsonValue]:
        """For health."""
        model = self._chosen.model
        facts: dict[str, JsonValue] = {
            "llm": None if model is None else model.name,
            "llm_failure": self._chosen.failure,
        }
        for shard, (reactor, _) in self._reactors.items():
            facts[f"texts.{shard}"] = {"waiting": reactor.waiting, "because": reactor.failure}
        return facts

    def failures(self) -> list[str]:
        """What keeps the reactors themselves from working; a model that is away does not."""
        return [f"texts of shard {shard}: {c.failure}" for shard, (_, c) in self._reactors.items() if c.failure]

    async def _own(self, shard: int) -> None:
        context, settings, stream = self._context, self._context.settings, events(shard).name
        reached = await self._once_known(stream)
        async with asyncio.TaskGroup() as tasks:
            reactor = ExtractionReactor(
                shard,
                context.client,
                context.js,
                context.events,
                context.keys,
                Extractor(self._chosen, Remembered(context.client, context.events)),
                tasks,
                patience=settings.llm_patience,
                at_once=settings.llm_concurrency * _TEXTS_A_REQUEST,
                reached=reached,
            )
            consumer = CommandConsumer(
                context.client,
                context.js,
                stream,
                EXTRACTION_CONSUMER,
                reactor.handle,
                (sources_of_shard(shard),),
                keeps=True,
            )
            self._reactors[shard] = reactor, consumer
            letters = DeadLetters(context.js, context.events, EXTRACTION_CONSUMER)

            async def redrive(message: Msg) -> None:
                await message.respond((await _redriven(reactor, letters, message)).model_dump_json().encode())

            asked = await subscribe(context.client, redrive_subject(EXTRACTION_CONSUMER, shard), redrive)
            try:
                await consumer.run()
            finally:
                self._reactors.pop(shard, None)
                with contextlib.suppress(*NATS_FAILURES):
                    await asked.unsubscribe()

    async def _once_known(self, stream: str) -> int:
        """Where the events end, once it is known which model is wanted: without one, texts are stored as they are."""
        while True:
            try:
                await self._chosen.refresh()
                return await self._context.events.last_sequence(stream)
            except Unavailable as error:
                log.warning("extraction_waits", reason=error.message)
                await asyncio.sleep(_LOOK_AGAIN_S)


async def _redriven(reactor: ExtractionReactor, letters: DeadLetters, message: Msg) -> RedriveReply:
    """What was given up on, once more: it is given up on again, with a new letter, if its cause is still there."""
    try:
        request = RedriveRequest.model_validate_json(message.data)
        for letter in await letters.letters(request.subject):
            await letters.remove(letter)
            if int(letter.headers[SEQUENCE]) not in request.without:
                await reactor.again(letter)
        return RedriveReply()
    except Exception as error:  # noqa: BLE001 - the operator must be told, whatever it is
        log.warning("redrive_failed", error=f"{type(error).__name__}: {error}")
        return RedriveReply(error=f"{type(error).__name__}: {error}")

"""The reactor: texts in, `CategorizeMemory` commands out.

It has no store. Its position is the ack floor of a durable consumer, and its commands have ids that derive from the
events' ids, so an event that comes again has one effect. What came again after the commands have aged out is looked
up in the log first; the writer decides in the end (a person's choice wins, an answer about an old text is ignored).

With a language model, each text is a question of its own, asked beside what comes after it (`Beside`). The local
classifier answers for a model that fails, or stays away for longer than `_PATIENCE_S`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import structlog
from contracts import subjects
from contracts.codec import Meta, decode_event, encode, read_envelope
from contracts.commands import CategorizeMemory
from contracts.errors import KeyMissing, LanguageModelAway, LanguageModelFailed, MemlogError
from contracts.events import MemoryDeleted
from contracts.ids import OWN_APP
from contracts.positions import Position
from contracts.streams import INDEX, commands
from contracts.streams import events as events_stream
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError
from runtime.clock import utc_now
from runtime.errors import WRONG_LAST_SEQUENCE, nats_errors
from runtime.event_store import EventStore, StoredMessage
from runtime.keys import KeyStore
from runtime.language_model import LanguageModel
from runtime.outcome import Applied, Deferred, NotApplicable, Outcome, Reject, Retry, Skipped
from runtime.quarantine import WILL_HEAL
from runtime.spans import appending, projecting
from runtime.telemetry import carried
from runtime.waiting import Positions

from categorizer import question
from categorizer.beside import Beside, Work
from categorizer.categories import Categories, classifier_id
from categorizer.decision import choose
from categorizer.embedding import Embedding
from categorizer.reading import TEXTS, Job, still_wanted, text_of

log = structlog.get_logger()
_NAME = "categorizer"
_BATCH = 32
_INDEXED_S = 2.0
"""How long a text is given to be indexed first: its vector then costs nothing, and indexing has no rival."""
_RETRY_FIRST, _RETRY_MOST = 0.5, 10.0
_POISON_PAUSES = (0.05, 0.2, 0.5)
_PATIENCE_S = 60.0
"""How long a text waits for a model that is away."""
_Done = Applied | Skipped | NotApplicable
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Said:
    """What a model said about a text: nothing, where the classifier is to answer. Not `wanted`: nobody is."""

    names: tuple[str, ...] = ()
    model: str = ""
    wanted: bool = True


class CategorizingHandler:
    """Handles the events of one shard, as its owner."""

    def __init__(
        self,
        shard: int,
        js: JetStreamContext,
        events: EventStore,
        keys: KeyStore,
        positions: Positions,
        embedding: Embedding,
        categories: Categories,
        beside: Beside,
        model: Callable[[], LanguageModel | None],
    ) -> None:
        self._shard = shard
        self._stream = events_stream(shard).name
        self._js = js
        self._events = events
        self._keys = keys
        self._positions = positions
        self._embedding = embedding
        self._categories = categories
        self._beside = beside
        self._model = model
        self._delay = _RETRY_FIRST

    async def handle(self, messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        """See `runtime.consumer.Handler`. What can heal is retried with growing pauses, an event that cannot be handled
        whatever the moment is rejected, and only that one."""
        outcomes: list[Outcome] = []
        try:
            for start in range(0, len(messages), _BATCH):
                part = messages[start : start + _BATCH]
                copies = [_stored(message) for message in part]
                again = [_maybe_handled(message, seen) for message in part]
                try:
                    found = await self._work(copies, again)
                except WILL_HEAL:
                    raise
                except Exception as error:  # noqa: BLE001 - something in this batch: find out what, do the others
                    log.warning("categorizing_failed", shard=self._shard, error=f"{type(error).__name__}: {error}")
                    for message, copy in zip(part, copies, strict=True):
                        outcomes.append(await self._begin(message, copy, await self._alone(copy)))
                else:
                    for message, copy, outcome in zip(part, copies, found, strict=True):
                        outcomes.append(await self._begin(message, copy, outcome))
                self._delay = _RETRY_FIRST
        except WILL_HEAL as error:
            outcomes.append(Retry(self._delay, str(error) or type(error).__name__))
            self._delay = min(self._delay * 2, _RETRY_MOST)
        return outcomes

    async def again(self, message: StoredMessage) -> str | None:
        """Categorize what was given up on, now: what prevents it, or None. Raises what can heal by itself."""
        outcome = await self._alone(message)
        if isinstance(outcome, Job):
            outcome = await self._question(outcome)()
        return outcome.reason if isinstance(outcome, Reject) else None

    async def _begin(self, message: Msg, copy: StoredMessage, outcome: Outcome | Job) -> Outcome:
        if not isinstance(outcome, Job):
            return outcome
        await self._beside.take(message, copy, self._question(outcome))
        return Deferred()

    async def _alone(self, message: StoredMessage) -> Outcome | Job:
        async def work() -> Outcome | Job:
            return (await self._work([message], [True]))[0]

        return await _or_reject(work)

    async def _work(self, messages: Sequence[StoredMessage], again: Sequence[bool]) -> list[_Done | Job]:
        """An outcome for each message, once the commands are durable; the job itself where a model is to be asked.
        Raises what prevents it."""
        outcomes: list[_Done | Job] = [Skipped("brings no text to categorize")] * len(messages)
        jobs: dict[str, tuple[int, Job]] = {}
        for number, message in enumerate(messages):
            _, _, _, uid, kind, id_ = message.subject.split(".")
            if kind == "category":
                self._categories.forget(uid)
                continue
            try:
                found = await self._read(message, uid)
            except KeyMissing:
                outcomes[number] = NotApplicable("erased")
                continue
            if isinstance(found, Job):
                jobs[id_] = number, found  # a later text of the same memory replaces an earlier one
            elif found == MemoryDeleted.type:
                jobs.pop(id_, None)
        wanted = await asyncio.gather(*(self._wanted(job, again[number]) for number, job in jobs.values()))
        chosen = [pair for pair, is_wanted in zip(jobs.values(), wanted, strict=True) if is_wanted]
        if chosen and self._model() is None:
            await self._categorize([job for _, job in chosen])
            chosen = [(number, Applied()) for number, _ in chosen]
        for number, outcome in chosen:
            outcomes[number] = outcome
        return outcomes

    async def _read(self, message: StoredMessage, uid: str) -> Job | str:
        """The job that an event is, or else its type. Raises `KeyMissing`, `Undecodable`, `ContentDamaged`,
        `UnsupportedSchema`, `Unavailable`."""
        type_ = read_envelope(message.data)[1]
        if type_ not in TEXTS:
            return type_
        key = await self._keys.get(uid)
        meta, _, event = decode_event(message.data, key)
        text = text_of(event)
        return type_ if text is None else Job(*text, message.sequence, meta, key, carried(message.headers))

    async def _wanted(self, job: Job, again: bool) -> bool:
        """An event that comes for the first time is surely wanted, as far as can be known without asking."""
        if not again:
            return True
        return still_wanted(await self._events.load(subjects.memory(job.meta.uid, job.memory_id), job.key), job.version)

    async def _categorize(self, jobs: Sequence[Job]) -> None:
        with projecting(self._stream, _NAME, [job.headers for job in jobs]):
            await self._classify(jobs)

    async def _classify(self, jobs: Sequence[Job]) -> None:
        last = Position(self._shard, max(job.sequence for job in jobs))
        await self._positions.wait((INDEX,), last, _INDEXED_S)
        embedded = await self._embedding.embed([job.text for job in jobs])
        keys = {job.meta.uid: job.key for job in jobs}
        candidates = {uid: await self._categories.of(uid, key, embedded.embedder) for uid, key in keys.items()}
        model = classifier_id(embedded.embedder)
        answers = [
            (job, choose(vector, candidates[job.meta.uid])) for job, vector in zip(jobs, embedded.vectors, strict=True)
        ]
        # A new text has no categories: that nothing is near needs no saying.
        await asyncio.gather(*(self._send(job, names, "classifier", model) for job, names in answers if names))

    def _question(self, job: Job) -> Work:
        """Categorizes one text by the model, or else by the classifier. Raises what can heal by itself, and not that
        the model is away; when it is called again then, what the model has said is not asked for again."""
        said: _Said | None = None

        async def work() -> Outcome:
            nonlocal said
            with projecting(self._stream, _NAME, [job.headers]):
                said = said or await self._ask(job)
            if said.names:
                await self._send(job, said.names, "model", said.model)
            elif said.wanted:
                await self._categorize([job])
            return Applied() if said.wanted else Skipped("not wanted any more")

        return lambda: _or_reject(work)

    async def _ask(self, job: Job) -> "_Said":
        categories = question.offered(await self._categories.described(job.meta.uid, job.key))
        delay, until = _RETRY_FIRST, time.monotonic() + _PATIENCE_S
        while (model := self._model()) is not None:  # it may be another one by now
            try:
                answered = await model.ask(question.system(categories), question.user(job.text), question.Chosen)
            except LanguageModelFailed as error:
                reason = error.message
            except LanguageModelAway as away:
                reason = away.message
                pause = max(delay, away.retry_after or 0.0)
                if time.monotonic() + pause < until:
                    await asyncio.sleep(pause)
                    delay = min(delay * 2, _RETRY_MOST)
                    if not await self._wanted(job, again=True):
                        return _Said(wanted=False)
                    continue
            else:
                if names := question.accepted(answered.value.categories, categories):
                    return _Said(names, model.name)
                reason = "it names no categories"
            log.warning("language_model_passed_over", shard=self._shard, model=model.name, reason=reason)
            break
        return _Said()

    async def _send(self, job: Job, names: tuple[str, ...], by: Literal["model", "classifier"], model: str) -> None:
        command = CategorizeMemory(memory_id=job.memory_id, categories=names, by=by, version=job.version, model=model)
        meta = Meta(
            id=job.command_id,
            uid=job.meta.uid,
            app=OWN_APP,
            actor="service",
            occurred_at=utc_now(),
            correlation_id=job.meta.correlation_id,
            causation_id=job.meta.id,
        )
        subject = subjects.command_subject(self._shard, meta.uid, meta.id)
        stream = commands(self._shard).name
        with appending(stream, [(job.headers, command.type)]) as (trace,), nats_errors("accept a command"):
            headers = {**trace, Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
            try:
                await self._js.publish(subject, encode(meta, command, job.key), headers=headers)
            except APIError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:  # else it was sent before
                    raise


async def _or_reject(work: Callable[[], Awaitable[_Result]]) -> _Result | Reject:
    """Try a few times, then give up on it. Raises what can heal."""
    reason = ""
    for pause in _POISON_PAUSES:
        try:
            return await work()
        except WILL_HEAL:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
            reason = f"{error.code if isinstance(error, MemlogError) else type(error).__name__}: {error}"
            await asyncio.sleep(pause)
    return Reject(reason)


def _maybe_handled(message: Msg, seen: int) -> bool:
    metadata = message.metadata
    return metadata.num_delivered > 1 or metadata.sequence.stream <= seen


def _stored(message: Msg) -> StoredMessage:
    metadata = message.metadata
    return StoredMessage(
        message.subject, metadata.sequence.stream, message.data, metadata.timestamp, message.headers or {}
    )

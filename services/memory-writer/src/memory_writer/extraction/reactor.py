"""The reactor: texts in, `ProcessText` commands out, one text of a user after the other, users side by side.

It has no store. Its position is the ack floor of a durable consumer on the sources, where a text is acknowledged once
the log says what became of it. Its commands have ids that derive from the events' ids, so a text that comes again has
one effect. While the model is away it keeps the texts and tries again; who waits is told not to.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

import structlog
from contracts import subjects
from contracts.api import Outcome as Told
from contracts.codec import DataKey, Meta, Recorded, Undecodable, encode, read_envelope
from contracts.commands import ProcessText
from contracts.errors import KeyMissing, LanguageModelAway, LanguageModelFailed, MemlogError, Unavailable
from contracts.events import ReprocessingRequested, TextProcessed, TextReceived
from contracts.positions import Position
from contracts.streams import EXTRACTION_CONSUMER, commands
from contracts.streams import events as events_stream
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError
from runtime.clock import utc_now
from runtime.dead_letters import SEQUENCE, SUBJECT, bury
from runtime.errors import NATS_FAILURES, WRONG_LAST_SEQUENCE, nats_errors
from runtime.event_store import EventStore, StoredMessage
from runtime.keys import KeyStore
from runtime.outcome import Applied, Deferred, Outcome, Reject, Skipped
from runtime.quarantine import WILL_HEAL
from runtime.spans import handling, sending
from runtime.telemetry import carried, trace_headers

from memory_writer.aggregates import fold
from memory_writer.domain.source import Received
from memory_writer.extraction.extractor import Extractor, Reading
from memory_writer.extraction.jobs import Ends, Job
from memory_writer.extraction.similar import User
from memory_writer.incoming import REPLY_HEADER

log = structlog.get_logger()
_ASKS = (TextReceived.type, ReprocessingRequested.type)
_RETRY_FIRST, _RETRY_MOST, _RETRY_SOONEST = 0.5, 20.0, 2.0
_LOOK_FIRST, _LOOK_MOST = 2.0, 30.0
"""How long the end of a text is waited for before the log is asked for it."""


class ExtractionReactor:
    """Reads the texts of one shard, as its owner. `tasks` owns what it does; `reached` is the sequence that the shard's
    events had when the ownership began."""

    def __init__(
        self,
        shard: int,
        client: Client,
        js: JetStreamContext,
        events: EventStore,
        keys: KeyStore,
        extractor: Extractor,
        tasks: asyncio.TaskGroup,
        *,
        patience: float,
        at_once: int,
        reached: int,
    ) -> None:
        self._shard = shard
        self._client = client
        self._js = js
        self._events = events
        self._keys = keys
        self._extractor = extractor
        self._tasks = tasks
        self._patience = timedelta(seconds=patience)
        self._slots = asyncio.Semaphore(at_once)
        self._reached = reached
        self._jobs: dict[int, Job] = {}
        self._lanes: dict[str, deque[Job]] = {}
        self._ends = Ends()
        self._away: str | None = None
        self._back = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many texts are not processed yet."""
        return len(self._jobs)

    @property
    def failure(self) -> str | None:
        """Why texts wait; None while they need not."""
        return self._away if self._jobs else None

    async def handle(self, messages: Sequence[Msg], seen: int) -> Sequence[Outcome]:
        """See `runtime.consumer.Handler`. Texts are taken over, and acknowledged when their end is in the log."""
        outcomes: list[Outcome] = []
        for message in messages:
            sequence, headers = message.metadata.sequence.stream, message.headers or {}
            try:
                meta, type_ = read_envelope(message.data)
            except Undecodable as error:
                outcomes.append(Reject(f"{error.code}: {error.message}"))
                continue
            if type_ == TextProcessed.type:
                self._ends.arrived(meta.causation_id, sequence)
                outcomes.append(Applied())
            elif type_ in _ASKS:
                _, _, _, uid, _, source_id = message.subject.split(".")
                reply = headers.get(REPLY_HEADER)
                await self._take(
                    Job(uid, source_id, meta.id, meta.causation_id, sequence, message.reply, reply, carried(headers))
                )
                outcomes.append(Deferred())
            else:
                outcomes.append(Skipped("asks for nothing"))
        return outcomes

    async def again(self, letter: StoredMessage) -> None:
        """Read a text that was given up on once more. Raises `Undecodable`."""
        meta, _ = read_envelope(letter.data)
        _, _, _, uid, _, source_id = letter.headers[SUBJECT].split(".")
        nobody = self._client.new_inbox()
        sequence = int(letter.headers[SEQUENCE])
        await self._take(Job(uid, source_id, meta.id, meta.causation_id, sequence, nobody, None, {}))

    async def _take(self, job: Job) -> None:
        known = self._jobs.get(job.sequence)
        if known is not None:  # it came again: it is acknowledged where it came last
            known.ack = job.ack
            return
        self._jobs[job.sequence] = job
        lane = self._lanes.get(job.uid)
        if lane is not None:
            lane.append(job)
        else:
            self._lanes[job.uid] = deque((job,))
            self._tasks.create_task(self._work_off(job.uid), name=f"texts of {job.uid}")
        if self._away is not None:
            await self._tell_not_to_wait(job, self._away)

    async def _work_off(self, uid: str) -> None:
        lane = self._lanes[uid]
        while lane:
            await self._see_through(lane[0])
            del self._jobs[lane.popleft().sequence]
        del self._lanes[uid]

    async def _see_through(self, job: Job) -> None:
        """Until the log says what became of the text, or its user is erased, or nobody can ever read it."""
        tries = 0
        while True:
            try:
                try:
                    async with self._slots:
                        with handling(events_stream(self._shard).name, TextReceived.type, job.headers):
                            await self._process(job)
                except KeyMissing:
                    log.info("text_erased", source=job.source_id)
                except WILL_HEAL:
                    raise
                except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
                    await self._give_up(job, error)
                await self._client.publish(job.ack, b"")
                return
            except WILL_HEAL as error:
                reason = str(error) or type(error).__name__
                log.warning("text_waits", source=job.source_id, tries=tries + 1, reason=reason)
                if isinstance(error, LanguageModelAway):
                    await self._went_away(reason)
                await self._pause(tries, error.retry_after if isinstance(error, LanguageModelAway) else None)
                tries += 1

    async def _went_away(self, reason: str) -> None:
        """Whoever comes from now on is told at once; so are those who wait already."""
        known, self._away = self._away is not None, reason
        for job in () if known else [*self._jobs.values()]:
            await self._tell_not_to_wait(job, reason)

    async def _pause(self, tries: int, retry_after: float | None) -> None:
        """Growing; over once the model answers somebody else, but not sooner than a part of it."""
        longest = min(max(_RETRY_FIRST * 2 ** min(tries, 10), retry_after or 0.0), _RETRY_MOST)
        soonest = min(_RETRY_FIRST / 4 * 2 ** min(tries, 10), _RETRY_SOONEST)
        back = self._back
        await asyncio.sleep(soonest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(longest - soonest, 0)):
                await back.wait()

    async def _process(self, job: Job) -> None:
        key = await self._keys.get(job.uid)
        aggregate = subjects.source(job.uid, job.source_id)
        history = await self._events.load(aggregate, key)
        source = fold("source", history).state
        asked = next((event for event in history if event.meta.id == job.event_id), None)
        if asked is None or not isinstance(source, Received):
            raise Undecodable(f"source {job.source_id} does not hold the text that it says to hold")
        ended = _end_in(history, job.command_id)
        if ended is None:
            brought = history[0].meta
            command = await self._decide(job, User(job.uid, brought.app, key), source, asked)
            end = self._ends.expect(job.command_id)
            await self._send(job, command, brought.app, asked.meta, key)
            ended = await self._ended(job, end, key)
        self._reached = max(self._reached, ended)

    async def _decide(self, job: Job, user: User, source: Received, asked: Recorded) -> ProcessText:
        """What is to be done about the text. It is stored as it is when the model fails for good, or is away for too
        long. Raises `Unavailable`, `KeyMissing`."""
        command = ProcessText(source_id=job.source_id, operation_id=job.operation_id, outcome="verbatim")
        reading = Reading(user, source, asked.meta.occurred_at, max(job.sequence, self._reached), job.facts)
        try:
            found = await self._extractor.extract(reading)
        except KeyMissing:
            raise
        except WILL_HEAL as error:
            if utc_now() - asked.recorded_at < self._patience:
                raise
            reason = f"not read for {self._patience}: {error or type(error).__name__}"
        except MemlogError as error:
            reason = error.message
            if isinstance(error, LanguageModelFailed):
                self._answered()
        except Exception as error:  # a defect must not cost a text
            log.error("extraction_failed", source=job.source_id, exc_info=error)
            reason = f"a defect in Memlog ({type(error).__name__})"
        else:
            self._answered()
            done = {"outcome": "extracted", "decisions": found.decisions, "model": found.model}
            return command.model_copy(update=done)
        finally:
            job.facts = reading.facts
        kept = "the text is stored as it is" if job.operation_id == job.source_id else "what was found before stays"
        return command.model_copy(update={"reason": f"{reason}; {kept}"})

    def _answered(self) -> None:
        if self._away is not None:
            self._away = None
            self._back.set()
            self._back = asyncio.Event()

    async def _send(self, job: Job, command: ProcessText, app: str, asked: Meta, key: DataKey) -> None:
        meta = Meta(
            id=job.command_id,
            uid=job.uid,
            app=app,
            actor=asked.actor,
            occurred_at=asked.occurred_at,
            correlation_id=asked.correlation_id,
            causation_id=asked.id,
        )
        subject = subjects.command_subject(self._shard, job.uid, job.command_id)
        with nats_errors("accept a command"), sending(commands(self._shard).name, command.type):
            headers = {**trace_headers(), Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
            if job.waiting is not None:
                headers[REPLY_HEADER] = job.waiting
            try:
                await self._js.publish(subject, encode(meta, command, key), headers=headers)
            except APIError as error:
                if error.err_code != WRONG_LAST_SEQUENCE:  # else it was sent before
                    raise

    async def _ended(self, job: Job, end: "asyncio.Future[int]", key: DataKey) -> int:
        """The sequence at which the log says that the text is processed, or that the command was refused."""
        look = _LOOK_FIRST
        while not (await asyncio.wait((end,), timeout=look))[0]:
            for aggregate in (
                subjects.source(job.uid, job.source_id),
                subjects.operation(job.uid, job.operation_id),
            ):
                found = _end_in(await self._events.load(aggregate, key), job.command_id)
                if found is not None:
                    return found
            look = min(look * 2, _LOOK_MOST)
        return end.result()

    async def _give_up(self, job: Job, error: Exception) -> None:
        """Nobody can read it: keep a copy where a person finds it. The text itself stays where it is."""
        reason = f"{error.code if isinstance(error, MemlogError) else type(error).__name__}: {error}"
        log.error("text_given_up", source=job.source_id, exc_info=error)
        stream = events_stream(self._shard).name
        stored = await self._events.message_at(stream, job.sequence)
        if stored is None:
            raise Unavailable(f"{stream} does not give out {job.sequence}")
        await bury(self._js, EXTRACTION_CONSUMER, stream, stored, reason)

    async def _tell_not_to_wait(self, job: Job, reason: str) -> None:
        waiting, job.waiting = job.waiting, None
        if waiting is None:
            return
        position = str(Position(self._shard, job.sequence))
        told = Told(command_id=job.operation_id, status="later", reason=reason, position=position)
        with contextlib.suppress(*NATS_FAILURES):
            await self._client.publish(waiting, told.model_dump_json().encode())


def _end_in(history: Sequence[Recorded], command_id: str) -> int | None:
    return next((event.position.sequence for event in history if event.meta.causation_id == command_id), None)

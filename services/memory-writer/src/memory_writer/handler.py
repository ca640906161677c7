"""The shell around the deciders: commands in, events appended in order as a pipeline, outcomes out.

A batch is worked off in waves. A wave is the longest run of commands of which none depends on what an earlier one
of the same wave appends: its events are published in order without waiting for each, then awaited together. Only
NATS failures are retried; anything else settles the command with its reason.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import structlog
from contracts import subjects
from contracts.api import ChangeKind, Item, Outcome, Progress
from contracts.codec import Meta
from contracts.commands import MAX_RESULTS
from contracts.errors import ConcurrencyConflict, MemlogError, Unavailable
from contracts.events import CommandSettled
from contracts.ids import event_id
from contracts.positions import Position
from contracts.subjects import Aggregate, progress_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from runtime import outcome
from runtime.errors import NATS_FAILURES
from runtime.event_store import EventStore, NewEvent
from runtime.keys import KeyStore
from runtime.metrics import COMMANDS
from runtime.nats import subscribe
from runtime.spans import handling
from runtime.telemetry import trace_headers

from memory_writer.aggregates import Aggregates
from memory_writer.importing import Parts
from memory_writer.incoming import REPLY_HEADER, Pending, read
from memory_writer.many import CHUNK, is_large, size
from memory_writer.plan import Planner
from memory_writer.planning import Plan, counts, refuse

log = structlog.get_logger()
_RETRY_DELAY = 0.25


_Work = Pending | outcome.Reject | outcome.Deferred
_Planned = tuple[Pending, Plan] | outcome.Reject | outcome.Deferred


class CommandHandler:
    """Handles the commands of one shard, as its owner."""

    def __init__(
        self, client: Client, events: EventStore, keys: KeyStore, tasks: asyncio.TaskGroup, holds: Callable[[], bool]
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._holds = holds
        self._large: dict[str, Msg] = {}
        # One wave at a time: what is loaded stays right until the wave is appended.
        self._turn = asyncio.Lock()
        self._events = events
        self._keys = keys
        self._aggregates = Aggregates(events)
        self._planner = Planner(self._aggregates, Parts(events))

    async def handle(self, messages: Sequence[Msg], seen: int) -> Sequence[outcome.Outcome]:
        """See `runtime.consumer.Handler`."""
        outcomes: list[outcome.Outcome] = []
        try:
            pending = [await read(self._keys, message, seen) for message in messages]
            pending = [self._take_over(each, message) for each, message in zip(pending, messages, strict=True)]
            readable = [(e.command, e.key) for e in pending if isinstance(e, Pending) and e.command is not None]
            # Only to load in parallel: what fails here fails again where the command that it belongs to is planned.
            await asyncio.gather(*(self._planner.warm(c, key) for c, key in readable), return_exceptions=True)
            while len(outcomes) < len(pending):
                async with self._turn:
                    outcomes += await self._wave(pending[len(outcomes) :])
                if isinstance(outcomes[-1], outcome.Retry):
                    break
        except (Unavailable, ConcurrencyConflict, *NATS_FAILURES) as error:
            outcomes.append(outcome.Retry(_RETRY_DELAY, str(error) or type(error).__name__))
        return outcomes

    def _take_over(self, each: "_Work", message: Msg) -> "_Work":
        """A large command is carried out beside the others, in chunks, so that it holds up nobody."""
        if not isinstance(each, Pending) or each.command is None or not is_large(each.command):
            return each
        running = each.meta.id in self._large
        self._large[each.meta.id] = message
        if not running:
            self._tasks.create_task(self._carry_out(each), name=f"large {each.meta.id}")
        return outcome.Deferred()

    async def _carry_out(self, each: Pending) -> None:
        """All chunks of a large command, then its ack. Interrupted, it is delivered again and goes on where it was:
        the events that are there are found by the command's id."""
        assert each.command is not None
        total = size(each.command)
        totals: Counter[ChangeKind] = Counter()
        done = 0

        async def asked(message: Msg) -> None:
            await message.respond(Progress(done=done, total=total).model_dump_json().encode())

        progress: Subscription | None = None
        plan: Plan | None = None
        looked = not each.maybe_handled
        try:
            while plan is None or plan.partial:
                try:
                    progress = progress or await subscribe(self._client, progress_subject(each.meta.id), asked)
                    if not looked:
                        plan, looked = await self._settled_before(each), True
                        continue
                    async with self._turn:
                        with handling(each.stream, each.type, each.headers):
                            plan = await self._plan_chunk(each, done, totals)
                            new = self._new_events(each, plan, trace_headers())
                        result = (await self._conclude([(each, plan)], iter(await self._append(new))))[-1]
                except (Unavailable, ConcurrencyConflict, *NATS_FAILURES) as error:
                    result = outcome.Retry(_RETRY_DELAY, str(error) or type(error).__name__)
                if isinstance(result, outcome.Retry):
                    log.warning("chunk_retry", command=each.meta.id, done=done, reason=result.reason)
                    plan = None
                    await asyncio.sleep(result.delay)
                    continue
                totals.update(counts(plan.items if plan is not None else ()))
                done = min(done + CHUNK, total)
                with contextlib.suppress(*NATS_FAILURES):
                    await self._large[each.meta.id].in_progress()
            with contextlib.suppress(*NATS_FAILURES):
                await self._tell(each, plan, plan.position)
                await self._large[each.meta.id].ack()
        finally:
            self._large.pop(each.meta.id, None)
            if progress is not None:
                with contextlib.suppress(*NATS_FAILURES):
                    await progress.unsubscribe()

    async def _plan_chunk(self, each: Pending, done: int, totals: Mapping[ChangeKind, int]) -> Plan:
        assert each.command is not None
        try:
            return await self._planner.plan_chunk(each.command, each.key, done, totals)
        except (Unavailable, ConcurrencyConflict, *NATS_FAILURES):
            raise
        except Exception as error:
            log.error("chunk_failed", command=each.meta.id, type=each.type, done=done, exc_info=error)
            what = f"a defect in Memlog ({type(error).__name__}), after {done} memories"
            return refuse(each.meta, each.operation, MemlogError(what), index=size(each.command))

    async def _wave(self, pending: Sequence["_Work"]) -> list[outcome.Outcome]:
        """Handle the first commands of `pending` together; returns an outcome for each that was handled."""
        planned: list[_Planned] = []
        written: set[Aggregate] = set()
        new: list[NewEvent] = []
        for each in pending:
            if not isinstance(each, Pending):
                planned.append(each)
                continue
            with handling(each.stream, each.type, each.headers):
                plan = await self._plan(each)
                if plan.touched & written:
                    break
                new += self._new_events(each, plan, trace_headers())
            planned.append((each, plan))
            written.update(append.aggregate for append in plan.appends)
        results = iter(await self._append(new))
        return await self._conclude(planned, results)

    async def _plan(self, each: Pending) -> Plan:
        try:
            if each.maybe_handled:
                settled = await self._settled_before(each)
                if settled is not None:
                    return settled
            if each.command is None:
                return refuse(each.meta, each.operation, each.unreadable or MemlogError("unreadable"))
            return await self._planner.plan(each.command, each.key)
        except (Unavailable, ConcurrencyConflict, *NATS_FAILURES):
            raise
        except MemlogError as error:  # an aggregate that cannot be read: its commands wait for nobody
            log.error("command_refused", command=each.meta.id, type=each.type, reason=error.message)
            return refuse(each.meta, each.operation, error, index=each.last_index)
        except Exception as error:
            log.error("command_failed", command=each.meta.id, type=each.type, exc_info=error)
            what = MemlogError(f"a defect in Memlog ({type(error).__name__}); nothing was changed")
            return refuse(each.meta, each.operation, what, index=each.last_index)

    async def _settled_before(self, each: Pending) -> Plan | None:
        """What an earlier handling of this command ended in, if it ended without an event of its own."""
        aggregate = subjects.operation(each.meta.uid, each.operation.id)
        for event in await self._events.load(aggregate, each.key):
            settled = event.payload
            if isinstance(settled, CommandSettled):
                return Plan(
                    touched=frozenset(),
                    items=tuple(Item(id=r.id, event=r.event) for r in settled.results),
                    counts={**settled.counts},  # pyright: ignore[reportArgumentType]
                    status=settled.outcome,
                    code=settled.code,
                    reason=settled.reason,
                    position=event.position,
                )
        return None

    def _new_events(self, each: Pending, plan: Plan, trace: Mapping[str, str]) -> list[NewEvent]:
        asked = each.meta
        last = len(plan.appends) - 1
        reply = each.headers.get(REPLY_HEADER)
        if plan.partial and reply is not None and each.command is not None and size(each.command) == 1:
            trace = {**trace, REPLY_HEADER: reply}  # who carries it on knows who waits
        return [
            NewEvent(
                aggregate=append.aggregate,
                meta=Meta(
                    id=event_id(asked.id, append.index),
                    uid=asked.uid,
                    app=append.app or asked.app,
                    actor=asked.actor,
                    occurred_at=append.at or asked.occurred_at,
                    correlation_id=asked.correlation_id,
                    causation_id=asked.id,
                    final=number == last and not plan.partial,
                ),
                event=append.event,
                expected=append.expected,
                key=each.key,
                trace=trace,
            )
            for number, append in enumerate(plan.appends)
        ]

    async def _append(self, new: Sequence[NewEvent]) -> list[Position | Exception]:
        """Append as a pipeline; but what closes a command of several events goes after all of them are stored: an
        operation must not be done in the log while a part of it is not, nor a text processed."""
        if not self._holds():
            # Expected sequences protect what is written, not what was only read: an owner that slept may not know
            # that an app was paused meanwhile.
            return [ConcurrencyConflict("the lease on this shard has run out")] * len(new)
        steps: dict[str, list[int]] = {}
        for event in new:
            steps[event.meta.causation_id] = sorted({*steps.get(event.meta.causation_id, []), _step(event)})
        results: dict[str, Position | Exception] = {}
        failed: dict[str, Exception] = {}
        for turn in range(max(map(len, steps.values()), default=0)):
            now = [e for e in new if e.meta.causation_id not in failed]
            now = [e for e in now if steps[e.meta.causation_id].index(_step(e)) == turn]
            for event, result in zip(now, await self._events.append(now), strict=True):
                results[event.meta.id] = result
                if isinstance(result, Exception):
                    failed[event.meta.causation_id] = result
        return [results.get(e.meta.id) or failed[e.meta.causation_id] for e in new]

    async def _conclude(
        self, planned: Sequence[_Planned], results: Iterator[Position | Exception]
    ) -> list[outcome.Outcome]:
        outcomes: list[outcome.Outcome] = []
        failure: outcome.Retry | None = None
        for each in planned:
            if not isinstance(each, tuple):
                if failure is None:
                    outcomes.append(each)
                continue
            pending, plan = each
            position = plan.position
            error: Exception | None = None
            for append in plan.appends:
                result = next(results)
                if isinstance(result, Exception):
                    self._aggregates.forget(append.aggregate)
                    error = error or result
                else:
                    position = result
                    self._aggregates.appended(append.aggregate, pending.meta.id, append.event, result)
            if error is not None and failure is None:
                failure = outcome.Retry(_RETRY_DELAY, str(error))
            elif failure is None:
                # What follows a failed command is handled again after it: its events are found by their ids.
                if not plan.partial:
                    COMMANDS.add(1, _outcome(pending, plan))
                await self._tell(pending, plan, position)
                outcomes.append(outcome.Applied() if plan.appends else outcome.Skipped("handled before"))
        return outcomes if failure is None else [*outcomes, failure]

    async def _tell(self, pending: Pending, plan: Plan, position: Position | None) -> None:
        reply = pending.headers.get(REPLY_HEADER)
        if reply is None or position is None or plan.partial:
            return
        answer = Outcome(
            command_id=pending.operation.id,
            status=plan.status,
            code=plan.code,
            reason=plan.reason,
            results=list(plan.items) if len(plan.items) <= MAX_RESULTS else [],
            counts=plan.counts or counts(plan.items),
            position=str(position),
        )
        # Nobody depends on it: who waits in vain asks for the operation.
        with contextlib.suppress(*NATS_FAILURES):
            await self._client.publish(reply, answer.model_dump_json().encode())


def _outcome(pending: Pending, plan: Plan) -> dict[str, str]:
    known = {} if plan.code is None else {"error.type": plan.code}
    return {"type": pending.type if pending.command is not None else "unreadable", "outcome": plan.status, **known}


def _step(event: NewEvent) -> int:
    return {"source": 1, "op": 2}.get(event.aggregate.kind, 0)

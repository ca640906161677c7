"""The operator's half of the fake service: a log that a test fills, and dead letters that it plants."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.api import AggregateView, EventPage, LogEvent, LogMessage, Reprocessing
from contracts.dead_letters import DeadLetter, DeadLetterDetail, DeadLetterPage, Redriven, RedriveReport
from contracts.errors import NotFound
from contracts.generations import GenerationRequest, ProjectionList, ProjectionView
from contracts.ids import uuid7
from contracts.positions import Position
from contracts.verification import Anchor, AnchorReply, ChainHead, Check, Verification
from gateway.service import Caller, EventFilter
from support.fake_access import FakeAccess
from support.fake_auditing import FakeAuditing
from support.fake_openmemory import FakeOpenMemory
from support.fake_settings import FakeSettings
from support.fake_tokens import FakeTokens

AT = "2026-11-01T00:00:00.000Z"


def log_event(number: int, type_: str = "MemoryAdded", memory_id: str = "m") -> LogEvent:
    """The event at position 0-`number`."""
    return LogEvent(
        event_id=f"e{number}", type=type_, schema_version=1, occurred_at=AT, app_id="a", actor="mcp",
        correlation_id="c", causation_id="c", data={"text": f"text {number}"}, position=f"0-{number}", recorded_at=AT,
        app_name="cursor", aggregate=AggregateView(kind="memory", id=memory_id),
    )  # fmt: skip


def dead_letter(number: int, aggregate: str = "m", count: int = 1) -> DeadLetter:
    return DeadLetter(
        id=number, consumer="read-models", shard=0, aggregate=AggregateView(kind="memory", id=aggregate),
        reason="StatementRefused: refused", subject=f"memlog.evt.0.u.memory.{aggregate}", stream="MEMLOG_EVENTS_0",
        sequence=number + 10, at=AT, count=count,
    )  # fmt: skip


@dataclass
class FakeOperator(FakeAccess, FakeAuditing, FakeSettings, FakeTokens, FakeOpenMemory):
    """`log` is everybody's. `following` counts the streams that are open, `orders` are about generations."""

    log: list[LogEvent] = field(default_factory=list[LogEvent])
    letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    following: int = 0
    orders: list[tuple[str, GenerationRequest]] = field(default_factory=list[tuple[str, GenerationRequest]])
    verified: list[bool] = field(default_factory=list[bool])

    def append(self, event: LogEvent) -> None:
        self.log.append(event)
        self.grown.set()

    def _after(self, after: str | None, wanted: EventFilter) -> list[LogEvent]:
        at = Position.parse(after).sequence if after is not None else 0
        events = [event for event in self.log if Position.parse(event.position).sequence > at]
        return [event for event in events if wanted.type in (None, event.type)]

    async def reprocess(
        self, caller: Caller, *, since: datetime | None, source_id: str | None, run: str | None
    ) -> Reprocessing:
        return Reprocessing(run=run or uuid7(), total=1, done=0, failed=0)

    async def reprocessing(
        self, caller: Caller, run: str, *, since: datetime | None, source_id: str | None
    ) -> Reprocessing:
        return Reprocessing(run=run, total=1, done=1, failed=0)

    async def events(self, caller: Caller, wanted: EventFilter, *, after: str | None, limit: int) -> EventPage:
        found = self._after(after, wanted)
        return EventPage(events=found[:limit], next=found[limit - 1].position if len(found) > limit else None)

    async def newest_events(self, caller: Caller, wanted: EventFilter, *, before: str | None, limit: int) -> EventPage:
        end = None if before is None else Position.parse(before).sequence
        found = [e for e in self._after(None, wanted) if end is None or Position.parse(e.position).sequence < end]
        shown = found[-limit:]
        return EventPage(events=shown, previous=shown[0].position if len(shown) < len(found) else None)

    async def follow(
        self, caller: Caller, wanted: EventFilter, *, after: str | None, idle: float
    ) -> tuple[str, AsyncGenerator[LogEvent | None]]:
        start = after or (self.log[-1].position if self.log else "0-0")
        return start, self._follow(start, wanted, idle)

    async def _follow(self, at: str, wanted: EventFilter, idle: float) -> AsyncGenerator[LogEvent | None]:
        self.following += 1
        try:
            while True:
                for event in self._after(at, wanted):
                    at = event.position
                    yield event
                self.grown.clear()
                try:
                    async with asyncio.timeout(idle):
                        await self.grown.wait()
                except TimeoutError:
                    yield None
        finally:
            self.following -= 1

    async def dead_letters(self, *, after: int, limit: int) -> DeadLetterPage:
        found = [letter for letter in self.letters if letter.id > after]
        return DeadLetterPage(
            dead_letters=found[:limit], total=len(self.letters), aggregates=len({x.aggregate.id for x in self.letters}),
            next=found[limit - 1].id if len(found) > limit else None,
        )  # fmt: skip

    def _letter(self, letter_id: int) -> DeadLetter:
        for letter in self.letters:
            if letter.id == letter_id:
                return letter
        raise NotFound(f"dead letter {letter_id} was not found")

    async def dead_letter(self, caller: Caller, letter_id: int) -> DeadLetterDetail:
        letter = self._letter(letter_id)
        event = log_event(letter.sequence, memory_id=letter.aggregate.id)
        return DeadLetterDetail(
            **dict(letter), message=LogMessage.model_validate(event.model_dump(include={*LogMessage.model_fields}))
        )

    async def redrive(self, letter_id: int) -> Redriven:
        letter = self._letter(letter_id)
        self.letters = [other for other in self.letters if other.aggregate != letter.aggregate]
        return Redriven(
            id=letter_id, consumer=letter.consumer, aggregate=letter.aggregate, letters=letter.count, status="healed"
        )

    async def redrive_all(self) -> RedriveReport:
        return RedriveReport(results=[await self.redrive(letter.id) for letter in self.letters])

    async def drop_dead_letter(self, letter_id: int) -> Redriven:
        return (await self.redrive(letter_id)).model_copy(update={"status": "dropped"})

    async def projections(self, *, state_hash: bool) -> ProjectionList:
        return ProjectionList(projections=[await self.projection("read-models", state_hash=state_hash)])

    async def projection(self, name: str, *, state_hash: bool) -> ProjectionView:
        return ProjectionView(
            name=name, positions={"0": 7}, lag=0, generations=[], state_hash="abc" if state_hash else None
        )

    async def change_projection(self, name: str, request: GenerationRequest) -> ProjectionView:
        self.orders.append((name, request))
        return await self.projection(name, state_hash=False)

    async def verify(self, *, stores: bool) -> Verification:
        self.verified.append(stores)
        return Verification(state="running", started_at=AT)

    async def verification(self) -> Verification:
        return Verification(state="done", result="equal", checks=[Check(name="log", state="ok")])

    async def anchor(self) -> Anchor:
        return Anchor(time=AT, heads=[])

    async def check_anchors(self, heads: Sequence[ChainHead]) -> AnchorReply:
        return AnchorReply(checked=len(heads))

"""Verifying a log: one check after the other, each with its progress and what it found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from contracts.api import Announcement
from contracts.codec import timestamp
from contracts.errors import LogNotTrusted, MemlogError, Unavailable
from contracts.positions import Checkpoint, Position
from contracts.streams import ACCESS_LOG, INDEX, READ_MODELS, access, events
from contracts.subjects import position_request_subject
from contracts.verification import Check, Difference, Verification
from nats.aio.client import Client
from runtime.clock import utc_now
from runtime.errors import NATS_FAILURES, nats_errors

from audit import checks
from audit.anchors import AnchorFile, Anchors
from audit.checks import Verifiable
from audit.store_checks import NotNow, compare_with_fold
from audit.trail_reading import TrailRows

log = structlog.get_logger()
_ASK_S = 2.0
_CATCH_UP_S = 10.0
_LOOK_S = 0.05
_FAR_BEHIND = 50_000
"""Events: what they tell of commands is kept in memory."""
_CHAINS = {READ_MODELS: events, ACCESS_LOG: access}
STORES = (READ_MODELS, ACCESS_LOG, INDEX)


class Skipped(Exception):
    """A check that cannot be done as things are, and why; nothing is wrong."""


@dataclass(slots=True)
class _Step:
    """A check under way."""

    name: str
    run: "Callable[[_Step], Awaitable[Difference | None]]"
    view: Check

    def of(self, total: int) -> None:
        self.view = self.view.model_copy(update={"of": total})

    def advance(self, count: int) -> None:
        self.view = self.view.model_copy(update={"done": self.view.done + count})

    def set(self, done: int, total: int) -> None:
        self.view = self.view.model_copy(update={"done": done, "of": total})

    def note(self, detail: str) -> None:
        self.view = self.view.model_copy(update={"detail": detail})


class Verifier:
    """Verifies one log. `serving`: Memlog runs, so the index can be asked, and projections catch up."""

    def __init__(
        self, log: Verifiable, client: Client, anchors: Anchors, kept: AnchorFile | None, *, serving: bool
    ) -> None:
        self._log = log
        self._client = client
        self._anchors = anchors
        self._kept = kept
        self._serving = serving
        self._steps: list[_Step] = []
        self._state = Verification()

    def view(self) -> Verification:
        """How far it is, or how the last one ended."""
        return self._state.model_copy(update={"checks": [step.view for step in self._steps]})

    async def run(self, stores: Sequence[str] = ()) -> Verification:
        """Verify now; `stores` are the projections to compare with a fresh fold."""
        self._steps = self._plan(stores)
        self._state = Verification(state="running", started_at=timestamp(utc_now()))
        try:
            for step in self._steps:
                await self._carry_out(step)
        finally:
            states = {step.view.state for step in self._steps}
            incomplete = states & {"failed", "waiting", "running"}
            result = "differs" if "differs" in states else "incomplete" if incomplete else "equal"
            update = {"state": "done", "finished_at": timestamp(utc_now()), "result": result}
            self._state = self._state.model_copy(update=update)
        log.info("verified", result=result, **{step.name: step.view.state for step in self._steps})
        return self.view()

    def _plan(self, stores: Sequence[str]) -> list[_Step]:
        steps: list[tuple[str, Callable[[_Step], Awaitable[Difference | None]]]] = [
            ("log", lambda _: checks.streams(self._log)),
            ("positions", self._positions),
            ("events", partial(self._chain, READ_MODELS)),
            ("reads", partial(self._chain, ACCESS_LOG)),
            ("commands", self._commands),
            ("users", self._users),
            ("anchors", self._anchor_file),
            *((f"fold of {projection}", partial(self._fold, projection)) for projection in stores),
        ]
        return [_Step(name, run, Check(name=name)) for name, run in steps]

    async def _carry_out(self, step: _Step) -> None:
        step.view = step.view.model_copy(update={"state": "running"})
        update: dict[str, object]
        try:
            difference = await step.run(step)
            total = max(step.view.done, step.view.of)
            update = {"state": "ok", "done": total, "of": total}
            if difference is not None:
                update = {"state": "differs", "difference": difference}
        except (Skipped, NotNow) as why:
            update = {"state": "skipped", "detail": str(why)}
        except LogNotTrusted as error:
            found = Difference(kind="log_damaged", where="the log", detail=error.message)
            update = {"state": "differs", "difference": found}
        except (MemlogError, OSError, *NATS_FAILURES) as error:
            update = {"state": "failed", "detail": f"{type(error).__name__}: {error}"}
        except Exception as error:
            log.exception("check_failed", check=step.name)
            update = {"state": "failed", "detail": f"a defect in Memlog ({type(error).__name__}): see its log"}
        step.view = step.view.model_copy(update=update)

    async def _positions(self, step: _Step) -> Difference | None:
        missing: list[str] = []
        for shard in self._log.shards:
            for projection, stream in (*_CHAINS.items(), (INDEX, events)):
                try:
                    at = await self._position(projection, shard)
                except Skipped as why:
                    missing.append(str(why))
                    continue
                difference = await checks.checkpoint(self._log, projection, stream(shard).name, at)
                if difference is not None:
                    return difference
                step.advance(1)
        if missing:
            step.note("; ".join(dict.fromkeys(missing)))
        return None

    async def _position(self, projection: str, shard: int) -> Checkpoint | None:
        if projection != INDEX:
            await self._require_rows(projection, shard)
            return await checks.stored_checkpoint(self._log, projection, shard)
        if not self._serving:
            raise Skipped("the index is not asked while Memlog is stopped")
        try:
            reply = await self._client.request(position_request_subject(projection, shard), b"", timeout=_ASK_S)
        except NATS_FAILURES as error:
            raise Unavailable(f"the index does not say where it is ({type(error).__name__})") from error
        at = Announcement.model_validate_json(reply.data)
        if at.event_id is None or at.sha256 is None:
            return None
        return Checkpoint(Position(shard, at.sequence), at.event_id, at.sha256)

    async def _require_rows(self, projection: str, shard: int) -> TrailRows:
        rows = TrailRows(self._log.pool, projection, shard)
        if not await rows.there():
            raise Skipped("PostgreSQL holds nothing yet: start Memlog, and let it fill the read models")
        return rows

    async def _chain(self, projection: str, step: _Step) -> Difference | None:
        """The streams of all shards against their rows."""
        ends = {shard: await self._reached(projection, shard) for shard in self._log.shards}
        step.of(sum(reached for reached, _ in ends.values()))
        behind = sum(max(0, last - reached) for reached, last in ends.values())
        if behind:
            step.note(f"{behind} messages are not in the audit yet, and were not compared")
        for shard, (reached, _) in ends.items():
            name = _CHAINS[projection](shard).name
            with nats_errors(f"describe {name}"):
                max_age = (await self._log.js.stream_info(name)).config.max_age or 0.0
            rows = await self._require_rows(projection, shard)
            difference = await checks.stream(self._log.events, name, shard, rows, reached, step.advance, max_age)
            difference = difference or await checks.rows_end_at_position(self._log, projection, rows)
            if difference is not None:
                return difference
        return None

    async def _reached(self, projection: str, shard: int) -> tuple[int, int]:
        """How far the audit is, and the log; while Memlog serves, it gets a moment to catch up."""
        await self._require_rows(projection, shard)
        last = await self._log.events.last_sequence(_CHAINS[projection](shard).name)
        deadline = asyncio.get_running_loop().time() + _CATCH_UP_S
        while True:
            at = await checks.stored_checkpoint(self._log, projection, shard)
            reached = 0 if at is None else at.position.sequence
            if reached >= last or not self._serving or asyncio.get_running_loop().time() > deadline:
                return reached, last
            await asyncio.sleep(_LOOK_S)

    async def _commands(self, step: _Step) -> Difference | None:
        for shard in self._log.shards:
            reached, last = await self._reached(READ_MODELS, shard)
            if last - reached > _FAR_BEHIND:
                raise Skipped(f"the read models are being filled: they are at {reached} of {last}")
            difference = await checks.finished_commands(self._log, shard, step.advance)
            if difference is not None:
                return difference
        return None

    async def _users(self, step: _Step) -> Difference | None:
        await self._require_rows(READ_MODELS, 0)
        return await checks.users(self._log, step.advance)

    async def _anchor_file(self, step: _Step) -> Difference | None:
        if self._kept is None or not self._kept.path.exists():
            raise Skipped("there is no file of anchors")
        for projection in _CHAINS:
            await self._require_rows(projection, 0)
        return await self._kept.check(self._anchors, step.advance)

    async def _fold(self, projection: str, step: _Step) -> Difference | None:
        if not self._serving:
            raise Skipped("a fresh fold is made while Memlog runs: start it, and verify again")
        return await compare_with_fold(self._client, projection, step.set)

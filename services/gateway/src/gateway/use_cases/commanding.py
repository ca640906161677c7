"""Commands to the log and their outcomes back: durable from the acknowledgement on, one effect per key (G1, G2)."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from contracts import ids, subjects
from contracts.api import ChangeKind, Item, Outcome
from contracts.codec import Decoded, Meta, decode_command, encode
from contracts.commands import AddMemory, AnyCommand, ReviseMemory
from contracts.errors import IdempotencyKeyReused, MemlogError, NotFound, Unavailable, error_from_code
from contracts.positions import Position
from contracts.promises import Wait
from contracts.streams import READ_MODELS, SERVING_PROJECTIONS, commands
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.errors import APIError
from runtime.clock import utc_now
from runtime.errors import NATS_FAILURES, nats_errors
from runtime.event_store import EventStore
from runtime.keys import SealingKey
from runtime.nats import last_message, subscribe
from runtime.publishing import publish_first
from runtime.server_health import ServerHealth
from runtime.spans import sending
from runtime.telemetry import trace_headers
from runtime.waiting import Positions

from gateway.asking import OnProgress
from gateway.use_cases.operations import Operations
from gateway.use_cases.progress import reported
from gateway.use_cases.quarantined import Quarantined, reason
from gateway.use_cases.touched import logged_outcome, touched

REPLY_HEADER = "Memlog-Reply"
_PUBLISH_S = 10.0
"""How long a command is offered to the log: as long as replicas may need to agree on another leader."""
_PUBLISH_PAUSE_S = 0.2
_POLL_FIRST, _POLL_MOST = 0.01, 0.25


@dataclass(frozen=True, slots=True)
class Principal:
    """A resolved caller: opaque ids, and the user's key to seal what is said."""

    uid: str
    app_id: str
    app_name: str
    actor: str
    key: SealingKey


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a command is. `status` is None while it is only accepted. `reason`: why it is stored and will not become
    searchable by itself, or accepted and not waited for."""

    command_id: str
    state: Wait
    status: Literal["done", "nothing"] | None = None
    items: list[Item] = field(default_factory=list[Item])
    counts: Mapping[ChangeKind, int] = field(default_factory=dict[ChangeKind, int])
    position: Position | None = None
    reason: str | None = None


class Commanding:
    """Publishes commands and waits for their outcomes. `open()` before use, `close()` after."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        positions: Positions,
        operations: Operations,
        quarantined: Quarantined,
        log: EventStore,
        server: ServerHealth,
        wait_timeout: float,
    ) -> None:
        self._client = client
        self._js = js
        self._positions = positions
        self._operations = operations
        self._quarantined = quarantined
        self._log = log
        self._server = server
        self._shards = log.shards
        self._wait_timeout = wait_timeout
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        async def arrived(message: Msg) -> None:
            future = self._waiting.get(message.subject.rsplit(".", 1)[-1])
            if future is not None and not future.done():
                future.set_result(Outcome.model_validate_json(message.data))

        self._subscription = await subscribe(self._client, f"{self._inbox}.*", arrived)

    async def close(self) -> None:
        if self._subscription is not None and not self._client.is_closed:
            with contextlib.suppress(*NATS_FAILURES):
                await self._subscription.unsubscribe()

    async def send(
        self,
        principal: Principal,
        command: AnyCommand,
        *,
        idempotency_key: str | None = None,
        wait: Wait = "searchable",
        projections: tuple[str, ...] = SERVING_PROJECTIONS,
        on_progress: OnProgress | None = None,
    ) -> Sent:
        """Send a command and wait as asked; `projections` are those that "searchable" waits for.

        Raises `IdempotencyKeyReused`, `Unavailable` (not accepted: nothing happened, or the same key finds out), and
        the error with which the writer refused.
        """
        if idempotency_key is None:
            command_id = ids.uuid7()
        else:
            command_id = ids.command_id_for_key(principal.uid, f"key:{idempotency_key}")
        async with reported(self._client, command_id, on_progress):
            return await self._send(principal, command, command_id, wait, projections)

    async def send_internal(self, principal: Principal, command: AnyCommand, key: str) -> Sent:
        """A command that Memlog itself sends once for `key`; waits until the read models show it."""
        # Whichever app comes first sends it: the same command whoever its sender is.
        sender = replace(principal, app_id=ids.OWN_APP, actor="service")
        command_id = ids.command_id_for_key(principal.uid, f"memlog:{key}")
        return await self._send(sender, command, command_id, "searchable", (READ_MODELS,))

    async def _send(
        self, principal: Principal, command: AnyCommand, command_id: str, wait: Wait, projections: tuple[str, ...]
    ) -> Sent:
        deadline = time.monotonic() + self._wait_timeout
        future: asyncio.Future[Outcome] | None = None
        if wait != "accepted" and command_id not in self._waiting:
            future = self._waiting[command_id] = asyncio.get_running_loop().create_future()
        try:
            async with self._server.explained():
                first = await self._publish(principal, command, command_id)
            if wait == "accepted":
                return Sent(command_id, "accepted")
            if first and future is not None:
                outcome = await self._outcome(future, deadline)
            else:
                outcome = await self._settled(principal, command, command_id, deadline)
        finally:
            if future is not None:
                self._waiting.pop(command_id, None)
        if outcome is None:
            return Sent(command_id, "accepted")
        if outcome.status == "later":
            return Sent(command_id, "accepted", reason=outcome.reason)
        if outcome.status == "refused":
            raise error_from_code(outcome.code or MemlogError.code, outcome.reason or "refused")
        position = Position.parse(outcome.position)
        items = outcome.results if first else [_as_sent(item, command) for item in outcome.results]
        sent = Sent(command_id, "stored", outcome.status, items, outcome.counts, position)
        left = max(deadline - time.monotonic(), 0.05)
        if wait != "searchable" or not await self._positions.wait(projections, position, left):
            return sent
        about = touched(principal.uid, principal.key, command, outcome.results)
        try:
            given_up = await self._quarantined.by(about, projections)
        except Unavailable:
            return sent  # nobody knows
        return replace(sent, reason=reason(given_up)) if given_up else replace(sent, state="searchable")

    async def _settled(
        self, principal: Principal, command: AnyCommand, command_id: str, deadline: float
    ) -> Outcome | None:
        """The outcome of a command that somebody else sent first; waits for it until `deadline` (monotonic s)."""
        pause = _POLL_FIRST
        while True:
            outcome = await self._operations.outcome(principal.uid, command_id)
            if outcome is None and pause > _POLL_FIRST:  # the read models may be behind it, or have given up on it
                outcome = await logged_outcome(self._log, principal.uid, principal.key, command_id, command)
            if outcome is not None:
                return outcome
            if time.monotonic() + pause > deadline:
                return None
            # Another caller's command: no push reaches this one, so ask again, less and less often.
            await asyncio.sleep(pause)
            pause = min(pause * 1.6, _POLL_MOST)

    async def _outcome(self, future: asyncio.Future[Outcome], deadline: float) -> Outcome | None:
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.05)):
                return await future
        except TimeoutError:
            return None

    async def _publish(self, principal: Principal, command: AnyCommand, command_id: str) -> bool:
        """Whether this call's command is the first with its id (False: the same one was sent before)."""
        shard = subjects.shard_of(principal.uid, self._shards)
        meta = Meta(
            id=command_id,
            uid=principal.uid,
            app=principal.app_id,
            actor=principal.actor,
            occurred_at=utc_now(),
            correlation_id=command_id,
            causation_id=command_id,
        )
        subject = subjects.command_subject(shard, principal.uid, command_id)
        data = encode(meta, command, principal.key)
        until, again = time.monotonic() + _PUBLISH_S, False
        with nats_errors("accept the command"), sending(commands(shard).name, command.type):
            headers = {**trace_headers(), REPLY_HEADER: f"{self._inbox}.{command_id}"}
            while True:
                try:
                    if await publish_first(self._js, subject, data, headers):
                        return True
                    break
                except APIError:
                    raise
                except NATS_FAILURES:
                    if time.monotonic() > until or await self._server.failure() is not None:
                        raise
                again = True
                await asyncio.sleep(_PUBLISH_PAUSE_S)
            stored = await self._stored(shard, principal, subject)
        if again and stored.meta.occurred_at == meta.occurred_at:
            return True  # our own first try, whose acknowledgement was lost
        if _as_asked(stored.payload) != _as_asked(command) or stored.meta.app != meta.app:
            raise IdempotencyKeyReused(
                "this idempotency key was used before with another payload; use a new key for a new request"
            )
        return False

    async def _stored(self, shard: int, principal: Principal, subject: str) -> Decoded[AnyCommand]:
        found = await last_message(self._js, commands(shard).name, subject)
        if found is None:
            raise Unavailable("the first command with this key is being removed; try again")
        return decode_command(found.data or b"", principal.key)

    async def was_accepted(self, principal: Principal, command_id: str) -> Decoded[AnyCommand]:
        """The command of an operation that has no outcome yet. Raises `NotFound`, `Unavailable`."""
        shard = subjects.shard_of(principal.uid, self._shards)
        subject = subjects.command_subject(shard, principal.uid, command_id)
        with nats_errors("find the operation"):
            found = await last_message(self._js, commands(shard).name, subject)
        if found is None:
            raise NotFound(f"operation {command_id} was not found")
        return decode_command(found.data or b"", principal.key)


def _as_sent(item: Item, command: AnyCommand) -> Item:
    """A repeated command is told what it said itself: the memory may have changed since, and this is no read."""
    match command:
        case AddMemory(infer=False, text=text) | ReviseMemory(text=text) if item.event != "DELETE":
            return item.model_copy(update={"memory": text})
        case _:
            return item


def _as_asked(command: AnyCommand) -> AnyCommand:
    """What counts when a command is compared with one that was sent before: whether a language model was configured
    may have changed since."""
    return command.model_copy(update={"infer": False}) if isinstance(command, AddMemory) else command

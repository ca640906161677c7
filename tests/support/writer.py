"""A running memory-writer, and somebody who sends it commands as the gateway does."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from contracts import ids, subjects
from contracts.api import Outcome
from contracts.codec import Recorded
from contracts.commands import AddMemory, AnyCommand, RegisterApp, RegisterUser
from contracts.events import CommandSettled
from contracts.messages import Event
from contracts.positions import Position
from contracts.streams import events
from contracts.subjects import Aggregate, shard_of
from memory_writer.container import NAME, serve
from nats.aio.msg import Msg
from runtime.event_store import EventStore, NewEvent
from runtime.keys import SealingKey
from runtime.nats import subscribe
from runtime.service import open_context
from support.log_events import APP_NAME, UID, command_bytes, publish_raw
from support.servers import Log

Append = Callable[[Sequence[NewEvent]], Awaitable[list[Position | Exception]]]
Interfere = Callable[[Append, Sequence[NewEvent]], Awaitable[list[Position | Exception]]]
"""Gets the real append and what is to be appended; returns what the writer is told."""


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class _InterferedStore(EventStore):
    interfere: Interfere

    async def append(self, events: Sequence[NewEvent]) -> list[Position | Exception]:
        return await self.interfere(super().append, events)


@asynccontextmanager
async def writing(log: Log, interfere: Interfere | None = None) -> AsyncGenerator["asyncio.Task[None]"]:
    """A memory-writer for the length of the block, on a connection of its own; stopped in order at the end.

    `interfere` stands between the writer and the log. The task ends when the writer is killed.
    """
    stop, ready = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with open_context(NAME, log.settings, stop, ready) as context:
            if interfere is not None:
                events = _InterferedStore(context.client, context.js, log.shards)
                events.interfere = interfere
                await events.open()
                context = dataclasses.replace(context, events=events)
            await serve(context)

    task = asyncio.create_task(live())
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait((task,), timeout=60)
        assert task.done(), "the writer did not stop"
    if not task.cancelled():
        error = task.exception()
        if error is not None and "Killed" not in repr(error):
            raise error


class Sender:
    """One user's gateway. `open()` first: it makes the user's key, not the user."""

    def __init__(self, log: Log, uid: str = UID) -> None:
        self.log = log
        self.uid = uid
        self.key: SealingKey
        self._inbox = log.client.new_inbox()
        self._outcomes: dict[str, asyncio.Future[Outcome]] = {}

    async def open(self) -> "Sender":
        async def arrived(message: Msg) -> None:
            future = self._outcomes[message.subject.rsplit(".", 1)[-1]]
            if not future.done():
                future.set_result(Outcome.model_validate_json(message.data))

        self.key = await self.log.keys.create(self.uid)
        await subscribe(self.log.client, f"{self._inbox}.*", arrived)
        return self

    @property
    def app_id(self) -> str:
        return ids.app_id(self.key.identity, APP_NAME)

    async def send(self, command: AnyCommand, *, command_id: str | None = None, app: str | None = None) -> str:
        """Publish the command; returns its id once it is durable."""
        id_, data = command_bytes(command, self.key, uid=self.uid, command_id=command_id, app=app)
        await self.send_raw(id_, data)
        return id_

    async def send_raw(self, command_id: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish these bytes where the command of this id belongs."""
        self._outcomes[command_id] = asyncio.get_running_loop().create_future()
        reply = {"Memlog-Reply": f"{self._inbox}.{command_id}"}
        await publish_raw(self.log, data, uid=self.uid, command_id=command_id, headers=reply | (headers or {}))

    async def outcome(self, command_id: str, seconds: float = 60.0) -> Outcome:
        async with asyncio.timeout(seconds):
            return await self._outcomes[command_id]

    async def do(self, command: AnyCommand, *, app: str | None = None) -> Outcome:
        """Send a command and wait for what came of it."""
        return await self.outcome(await self.send(command, app=app))

    async def register(self) -> "Sender":
        """The user and its app."""
        await self.do(RegisterUser(name="Ada"))
        await self.do(RegisterApp(name=APP_NAME))
        return self

    async def history(self, aggregate: Aggregate) -> list[Recorded]:
        return await self.log.events.load(aggregate, self.key)

    async def events(self, memory_id: str) -> list[Event | None]:
        """A memory's events."""
        return [event.payload for event in await self.history(subjects.memory(self.uid, memory_id))]

    async def settled(self, command_id: str) -> CommandSettled | None:
        """How the command ended, where that is an event of its own; there is one at most."""
        found = await self.history(subjects.operation(self.uid, command_id))
        assert len(found) <= 1, "an operation ends once"
        if not found:
            return None
        payload = found[0].payload
        assert isinstance(payload, CommandSettled)
        return payload


async def prepared(log: Log, texts: Sequence[str] = ()) -> tuple[Sender, list[str]]:
    """A user with an app and these memories; the writer that made them has stopped."""
    ada = await Sender(log).open()
    async with writing(log):
        await ada.register()
        outcomes = [await ada.do(AddMemory(text=text)) for text in texts]
    return ada, [outcome.results[0].id for outcome in outcomes]


async def all_events(log: Log, uid: str = UID) -> list[tuple[str, str]]:
    """Type and command of each event of the user, in order."""
    shard = shard_of(uid, log.shards)
    stored = await log.events.read_subject(events(shard).name, f"memlog.evt.{shard}.{uid}.>")
    fields = [json.loads(message.data) for message in stored]
    return [(each["type"], each["causation_id"]) for each in fields]

"""Publishing with an expectation: the first message of a subject; and many messages in order, without waiting for each,
for who appends alone to streams that are empty yet."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from contracts.errors import ConcurrencyConflict, Unavailable
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError

from runtime.errors import NATS_FAILURES, UNDECIDED, WRONG_LAST_SEQUENCE, nats_errors
from runtime.nats import REQUEST_TIMEOUT, subscribe

_TIMEOUT = 30.0
_DECIDES_S = 0.02


async def publish_first(js: JetStreamContext, subject: str, data: bytes, headers: Mapping[str, str] = {}) -> bool:
    """Publish what has to be the first message of its subject: False when another one is there. Raises `APIError` and
    other failures of NATS; whether it is stored is not known then."""
    headers = {**headers, Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: "0"}
    until = asyncio.get_running_loop().time() + REQUEST_TIMEOUT
    while True:
        try:
            await js.publish(subject, data, timeout=REQUEST_TIMEOUT, headers=headers)
            return True
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE:
                return False
            # Another one has reached the leader, and not yet enough replicas to stand there.
            if error.err_code != UNDECIDED or asyncio.get_running_loop().time() > until:
                raise
        await asyncio.sleep(_DECIDES_S)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. `expected` is the stream's last sequence before it."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    expected: int


class Publisher:
    """Publishes over one connection; see `publisher`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.inbox = client.new_inbox()
        self._acks: asyncio.Queue[Msg] = asyncio.Queue()

    async def on_ack(self, message: Msg) -> None:
        self._acks.put_nowait(message)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Append all, each at the sequence that follows what it expects. Raises `ConcurrencyConflict` when something
        else is there, `Unavailable`; how many were appended is not known then."""
        with nats_errors("take the messages"):
            for message in messages:
                headers = {**message.headers, Header.EXPECTED_LAST_SEQUENCE.value: str(message.expected)}
                await self._client.publish(message.subject, message.data, reply=self.inbox, headers=headers)
            async with asyncio.timeout(_TIMEOUT):
                # In any order: each says of itself what has to hold for all before it.
                for _ in messages:
                    self._check(await self._acks.get())

    def _check(self, ack: Msg) -> None:
        answer: dict[str, Any] = json.loads(ack.data or b"{}")
        error: dict[str, Any] | None = answer.get("error")
        if error is not None:
            raise ConcurrencyConflict(
                f"a message was not appended: {error.get('description')} ({error.get('err_code')})"
            )
        if "seq" not in answer:
            raise Unavailable("the stream does not answer")


@asynccontextmanager
async def publisher(client: Client) -> AsyncGenerator[Publisher]:
    """A publisher for the length of the block; of no use any more after `publish` has raised."""
    publishing = Publisher(client)
    with nats_errors("listen for acks"):
        subscription = await subscribe(client, publishing.inbox, publishing.on_ack)
    try:
        yield publishing
    finally:
        if not client.is_closed:
            with suppress(*NATS_FAILURES):
                await subscription.unsubscribe()

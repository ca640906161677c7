"""A pull subscription that returns what is there at once.

nats-py's `fetch(batch)` waits for a whole batch or its timeout: tens of milliseconds to seconds on every write. This
keeps one request for many messages open at the server and hands out whatever has arrived.
"""

import asyncio
import contextlib
import json
import os
from types import TracebackType

from contracts.errors import Unavailable
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from runtime.errors import NATS_FAILURES
from runtime.nats import subscribe

_EXPIRES_S = 2.0
"""Shorter than a lease: a request of an owner that sleeps must be over when the next owner asks, or the server would
hand the messages to the sleeper."""
_HEARTBEAT_S = 0.9
_SILENCE_S = 4.0
_LOOK_S = 0.5
"""How often a wait looks whether the connection was lost: the server then knows nothing of this request any more."""


def passing_name() -> str:
    """A name for a consumer that is gone when nobody asks it any more. One that is made without a name may claim any in
    its request, so permissions cannot keep it off those of others."""
    return f"passing-{os.urandom(8).hex()}"


class ConsumerGone(Unavailable):
    """The consumer does not exist any more (server restarted, or it was idle for too long): make it anew."""


class Pull:
    """Messages of one JetStream consumer, as an async context manager."""

    def __init__(self, client: Client, stream: str, consumer: str, demand: int = 512) -> None:
        self._client = client
        self._next_subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._what = f"consumer {consumer} of {stream}"
        self._demand = demand
        self._outstanding = 0
        self._reconnects = 0
        self._inbox = client.new_inbox()
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> "Pull":
        async def arrived(message: Msg) -> None:
            self._queue.put_nowait(message)

        self._subscription = await subscribe(self._client, self._inbox, arrived)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None and not self._client.is_closed:
            with contextlib.suppress(*NATS_FAILURES):
                await self._subscription.unsubscribe()

    @property
    def demanded(self) -> int:
        """How many messages the server has been asked for and has not sent yet."""
        return self._outstanding

    async def batch(self, limit: int, idle: float | None = None) -> list[Msg]:
        """One to `limit` messages; waits for the first, for at most `idle` seconds (then: an empty list).

        Raises `ConsumerGone`, and `Unavailable` when the server has gone silent.
        """
        loop = asyncio.get_running_loop()
        deadline = None if idle is None else loop.time() + idle
        silent_at = loop.time() + _SILENCE_S
        found: list[Msg] = []
        while not found:
            if self._outstanding <= 0:
                await self._ask()
            now = loop.time()
            wait = _LOOK_S if deadline is None else min(_LOOK_S, max(deadline - now, 0.0))
            try:
                async with asyncio.timeout(wait):
                    message = await self._queue.get()
            except TimeoutError:
                if deadline is not None and loop.time() >= deadline:
                    return []
                if self._client.stats["reconnects"] != self._reconnects:
                    raise Unavailable(f"{self._what}: the connection was lost meanwhile") from None
                if loop.time() >= silent_at:
                    raise Unavailable(f"{self._what}: the server is silent") from None
                continue
            silent_at = loop.time() + _SILENCE_S
            self._take(message, found)
        while len(found) < limit and not self._queue.empty():
            self._take(self._queue.get_nowait(), found)
        return found

    async def _ask(self) -> None:
        request = {
            "batch": self._demand,
            "expires": int(_EXPIRES_S * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_S * 1e9),
        }
        self._outstanding = self._demand
        self._reconnects = self._client.stats["reconnects"]
        await self._client.publish(self._next_subject, json.dumps(request).encode(), reply=self._inbox)

    def _take(self, message: Msg, found: list[Msg]) -> None:
        status = None if message.headers is None else message.headers.get(Header.STATUS.value)
        if status is None:
            self._outstanding -= 1
            found.append(message)
        elif status == "100":  # idle heartbeat
            return
        elif status in ("404", "408"):  # this request has ended: ask again
            self._outstanding = 0
        else:  # 409 consumer deleted, 503 no responders
            description = (message.headers or {}).get(Header.DESCRIPTION.value, "")
            raise ConsumerGone(f"{self._what}: {status} {description}".strip())

"""Who is connected, to whichever gateway: each knows its own, and all are asked."""

import asyncio
import contextlib

from contracts.connections import ConnectionList, ConnectionsRequest
from contracts.subjects import CONNECTIONS
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from runtime.errors import NATS_FAILURES, nats_errors
from runtime.nats import subscribe

from gateway.asking import Caller
from gateway.connections import Connections

_FIRST_S = 5.0
"""For the first answer: this gateway is among those that are asked."""
_OTHERS_S = 0.3
"""For each further one, after the one before. Nobody knows how many gateways there are: who is slower is left out, and
the answer says how many are in it."""


class ConnectedClients:
    """`open()` before use. `own` are the connections of this gateway."""

    def __init__(self, client: Client, own: Connections) -> None:
        self._client = client
        self._own = own
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Answer those who ask, until `close`."""

        async def asked(message: Msg) -> None:
            request = ConnectionsRequest.model_validate_json(message.data)
            mine = ConnectionList(connections=self._own.of(request.user), gateways=1)
            await message.respond(mine.model_dump_json().encode())

        self._subscription = await subscribe(self._client, CONNECTIONS, asked)

    async def close(self) -> None:
        if self._subscription is not None and not self._client.is_closed:
            with contextlib.suppress(*NATS_FAILURES):
                await self._subscription.unsubscribe()

    async def connections(self, caller: Caller) -> ConnectionList:
        """See `gateway.service.MemoryService`."""
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        async def heard(message: Msg) -> None:
            if message.data:  # without: the server's word that nobody listens
                answers.put_nowait(message.data)

        request = ConnectionsRequest(user=caller.user).model_dump_json().encode()
        with nats_errors("ask the gateways who is connected"):
            inbox = self._client.new_inbox()
            subscription = await subscribe(self._client, inbox, heard)
            try:
                await self._client.publish(CONNECTIONS, request, reply=inbox)
                found = [await asyncio.wait_for(answers.get(), _FIRST_S)]
                with contextlib.suppress(TimeoutError):
                    while True:
                        found.append(await asyncio.wait_for(answers.get(), _OTHERS_S))
            finally:
                await subscription.unsubscribe()
        lists = [ConnectionList.model_validate_json(each) for each in found]
        together = [connection for each in lists for connection in each.connections]
        together.sort(key=lambda connection: -connection.since)
        return ConnectionList(connections=together, gateways=len(lists))

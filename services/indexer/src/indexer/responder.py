"""Answering what others ask over NATS request/reply."""

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import structlog
from contracts.errors import MemlogError
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError
from runtime.nats import subscribe
from runtime.spans import handling

log = structlog.get_logger()
Request = TypeVar("Request", bound=BaseModel)
Reply = TypeVar("Reply", bound=BaseModel)


class Responder(ABC, Generic[Request, Reply]):
    """Answers the requests of one subject, each in a task of its own, so that one that waits holds up no other. Whoever
    asks gets an answer, whatever is wrong: a `Reply` has a `code` and an `error`."""

    def __init__(self, client: Client, subject: str, request: type[Request], reply: type[Reply]) -> None:
        self._client = client
        self._subject = subject
        self._request = request
        self._reply = reply
        self._running: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def reply(self, request: Request) -> Reply:
        """The answer. Raises `MemlogError`, which the one who asked is told."""

    async def open(self) -> None:
        """Begin to answer; several processes share the requests."""

        async def arrived(message: Msg) -> None:
            task = asyncio.ensure_future(self._answer(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        await subscribe(self._client, self._subject, arrived, queue="indexer")

    async def close(self) -> None:
        """Cut off what is still being answered: its callers are told by their own time-out."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _answer(self, message: Msg) -> None:
        with handling(self._subject, self._request.__name__, message.headers or {}):
            try:
                reply = await self.reply(self._request.model_validate_json(message.data))
            except ValidationError as error:
                reply = self._reply(
                    code="invalid_input", error=f"{error.error_count()} fields of the request are wrong"
                )
            except MemlogError as error:
                reply = self._reply(code=error.code, error=error.message)
            except Exception as error:  # the caller must get an answer, whatever is wrong here
                log.error("request_failed", subject=self._subject, exc_info=error)
                reply = self._reply(code="internal", error=f"a defect in the indexer ({type(error).__name__})")
            await message.respond(reply.model_dump_json().encode())

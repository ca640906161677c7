"""What the NATS server says of itself on its monitoring endpoint: a stream that it cannot write any more (the disk is
full), or could not recover (its files are damaged). To those who publish, either looks like silence."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from contracts.errors import Unavailable
from pydantic import BaseModel, ValidationError

from runtime.http_client import http_client
from runtime.settings import comma_separated

_ASK_S = 2.0
_HOLDS_S = 0.5


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """Why a stream does not work; `lost`: the server could not recover it, and never will."""

    stream: str
    reason: str
    lost: bool


class _Error(BaseModel):
    type: str = ""
    stream: str = ""
    error: str = ""


class _Health(BaseModel):
    errors: list[_Error] = []


def stream_failures(body: bytes) -> list[StreamFailure] | None:
    """The streams that do not work, from an answer of `/healthz?details=true`; None when it is none."""
    try:
        errors = _Health.model_validate_json(body).errors
    except ValidationError:
        return None
    return [
        # "… write error: write <path>: no space left on device"
        StreamFailure(error.stream, error.error.rpartition(": ")[2], lost="could not be recovered" in error.error)
        for error in errors
        if error.type == "STREAM"
    ]


async def _failures(http: httpx.AsyncClient, url: str) -> list[StreamFailure] | None:
    """The streams that do not work there; None when the server does not say."""
    try:
        return stream_failures((await http.get(url)).content)
    except httpx.HTTPError:
        return None


class ServerHealth:
    """Asks the server at `monitor_url`, or those of a cluster, comma-separated (None: nobody can be asked). A cluster
    works as long as more than half of its servers do."""

    def __init__(self, monitor_url: str | None) -> None:
        self._urls = [f"{url.rstrip('/')}/healthz?details=true" for url in comma_separated(monitor_url or "")]
        self._asking = asyncio.Lock()
        self._answer: str | None = None
        self._until = 0.0

    async def failure(self) -> str | None:
        """Why the log cannot be written, in words; None when the server knows of nothing, or does not say."""
        if not self._urls:
            return None
        async with self._asking:  # when it is full, it is so for many requests at once
            if time.monotonic() > self._until:
                self._answer = await self._ask()
                self._until = time.monotonic() + _HOLDS_S
        return self._answer

    async def _ask(self) -> str | None:
        async with http_client(_ASK_S) as http:
            answers = await asyncio.gather(*(_failures(http, url) for url in self._urls))
        failing = [failures for failures in answers if failures]
        if not failing or 2 * (len(failing) + answers.count(None)) <= len(answers):
            return None
        return f"the log cannot be written ({failing[0][0].stream}: {failing[0][0].reason})"

    @asynccontextmanager
    async def explained(self) -> AsyncGenerator[None]:
        """`Unavailable` inside is raised with the server's own reason, where it has one."""
        try:
            yield
        except Unavailable as error:
            reason = await self.failure()
            if reason is None:
                raise
            raise Unavailable(f"{reason}. Nothing that was acknowledged is lost; free some space") from error

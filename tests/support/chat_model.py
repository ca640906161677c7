"""The language model of the stand-in: scripted answers, and endpoints of every kind."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from support.faults import Fault, completion, status


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a completion."""

    body: dict[str, Any]

    @property
    def system(self) -> str:
        return self.body["messages"][0]["content"]

    @property
    def user(self) -> str:
        """What was asked in the first place, also where something was wrong with an answer."""
        return self.body["messages"][1]["content"]

    @property
    def form(self) -> str:
        return self.body.get("response_format", {}).get("type", "text")

    @property
    def schema(self) -> str | None:
        """The name of the type that was asked for, where structured outputs are asked for."""
        return self.body.get("response_format", {}).get("json_schema", {}).get("name")


Script = Callable[[Asked], object]
"""What the model says: a string as it is, a model or anything else as JSON, a `Fault` instead of it."""


@dataclass(slots=True)
class ChatModel:
    """Answers as `script` says. `faults` are used up, one a request; `always` is the answer to every request while it
    is set. `asked` are all requests that came. `forms` are the response formats that the endpoint knows; others, and
    `unknown` parameters, are refused with `refuses_with`. Only `models` are known, and with a `key`, only who shows it
    is let in."""

    script: Script = lambda asked: {}
    faults: deque[Fault] = field(default_factory=deque[Fault])
    always: Fault | None = None
    models: set[str] = field(default_factory=lambda: {"talker"})
    key: str | None = None
    forms: set[str] = field(default_factory=lambda: {"json_schema", "json_object", "text"})
    unknown: set[str] = field(default_factory=set[str])
    refuses_with: int = 400
    asked: list[Asked] = field(default_factory=list[Asked])

    @property
    def users(self) -> list[str]:
        """What was asked, each time."""
        return [asked.user for asked in self.asked]

    async def completions(self, request: Request) -> Response:
        asked = Asked(json.loads(await request.body()))
        self.asked.append(asked)
        answer = await self._answer(request, asked)
        while answer is None and not await request.is_disconnected():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.02)
        return answer or Response(status_code=499)

    async def _answer(self, request: Request, asked: Asked) -> Response | None:
        fault = self.faults.popleft() if self.faults else self.always or self._complaint(request, asked)
        if fault is not None:
            return fault(request)
        said = self.script(asked)
        if callable(said):
            return said(request)  # pyright: ignore[reportReturnType]
        if isinstance(said, BaseModel):
            said = said.model_dump(mode="json")
        return completion(said if isinstance(said, str) else json.dumps(said))

    def _complaint(self, request: Request, asked: Asked) -> Fault | None:
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return status(401)
        if asked.body["model"] not in self.models:
            return status(404)
        for parameter in sorted(self.unknown & set(asked.body)):
            return status(400, parameter)
        if asked.form not in self.forms:
            return status(self.refuses_with, "response_format")
        return None

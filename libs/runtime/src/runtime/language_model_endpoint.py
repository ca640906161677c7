"""One request to an endpoint that speaks the OpenAI API, and what became of it.

What such endpoints understand differs. They are asked for structured outputs first, for any JSON where they refuse
those, and for plain text in the end; newer models of OpenAI know `max_tokens` by another name and no temperature.
"""

import asyncio
import email.utils
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

import httpx
from contracts.errors import LanguageModelAway, LanguageModelFailed
from pydantic import BaseModel

from runtime.language_model import LanguageModelChoice
from runtime.language_model_answers import WrongAnswer, strict_schema

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_CONNECT_S = 5.0
_KEY_REFUSED = (401, 403)
_NOT_TAKEN = (400, 404, 422)
_PASSING = (408, 409, 425, 429)
Message = tuple[Literal["system", "user", "assistant"], str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an endpoint wants to be asked."""

    form: Literal["json_schema", "json_object", "text"] = "json_schema"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True

    def without(self, refused: str | None) -> "Dialect | None":
        """What to try when this was refused, for the parameter `refused` if the endpoint names one; None: nothing."""
        if refused == "max_tokens" and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        if refused == "temperature" and self.temperature:
            return replace(self, temperature=False)
        match self.form:
            case "json_schema":
                return replace(self, form="json_object")
            case "json_object":
                return replace(self, form="text")
            case "text":
                return None


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said. `cut_off`: it had more to say than it was allowed to."""

    content: str
    model: str
    input_tokens: int
    output_tokens: int
    cut_off: bool


class NotTaken(Exception):
    """The endpoint calls the request wrong: perhaps for the form of answers that it asks for (`parameter`, where the
    endpoint names it), perhaps for the key or the model, which `lasting` says."""

    def __init__(self, reason: str, parameter: str | None, lasting: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parameter = parameter
        self.lasting = lasting


class Endpoint:
    """One model of one endpoint. `timeout` in seconds."""

    def __init__(self, choice: LanguageModelChoice, timeout: float) -> None:
        self._choice = choice
        self.place = httpx.URL(choice.base_url).netloc.decode()
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._client: AsyncOpenAI | None = None

    @property
    def model(self) -> str:
        """As it is asked for."""
        return self._choice.model

    @property
    def name(self) -> str:
        """`openai:gpt-4o-mini@api.openai.com`."""
        return f"openai:{self._choice.model}@{self.place}"

    def __str__(self) -> str:
        return f"the language model '{self._choice.model}' at {self.place}"

    async def complete(self, dialect: Dialect, messages: Sequence[Message], answer: type[BaseModel]) -> Said:
        """Ask once. Raises `LanguageModelAway` when it does not answer, or says that it cannot now; `NotTaken`;
        `WrongAnswer` when what comes is no completion; `LanguageModelFailed` when the model refuses."""
        client: Any = await self._opened()  # what is asked is a matter of the dialect, not of the library's types
        asked: dict[str, Any] = {
            "model": self._choice.model,
            "messages": [{"role": role, "content": content} for role, content in messages],
            dialect.limit: self._choice.max_tokens,
        }
        if dialect.temperature:
            asked["temperature"] = self._choice.temperature
        if dialect.form != "text":
            asked["response_format"] = _format(dialect, answer)
        try:
            async with asyncio.timeout(self._timeout):  # the library's own is of each piece that comes
                completion: Any = await client.chat.completions.create(**asked)
        except Exception as error:  # what a malformed answer makes the library raise is not listed
            raise self._problem(error) from error
        return self._said(completion)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> "AsyncOpenAI":
        async with self._opening:
            client = self._client
            if client is None:
                openai = await asyncio.to_thread(import_module, "openai")  # a second or two
                client = self._client = openai.AsyncOpenAI(
                    base_url=self._choice.base_url,
                    api_key=self._choice.api_key or "none",
                    timeout=openai.Timeout(self._timeout, connect=min(_CONNECT_S, self._timeout)),
                    max_retries=0,
                )
            return client

    def _said(self, completion: Any) -> Said:
        try:
            choice = completion.choices[0]
            refusal, content, why = choice.message.refusal, choice.message.content, choice.finish_reason
            usage = completion.usage
            said = Said(
                content or "",
                str(completion.model or self._choice.model),
                int(usage.prompt_tokens) if usage else 0,
                int(usage.completion_tokens) if usage else 0,
                why == "length",
            )
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise WrongAnswer("There is no answer.", "no completion") from error
        if refusal or why == "content_filter":
            raise LanguageModelFailed(f"{self} refuses to answer")
        return said

    def _problem(self, error: Exception) -> Exception:
        import openai

        match error:
            case openai.APIStatusError(status_code=status) if status in _KEY_REFUSED:
                return NotTaken(f"{self} refuses the key (HTTP {status})", "api_key", lasting=True)
            case openai.APIStatusError(status_code=status) if status in _NOT_TAKEN:
                return NotTaken(f"{self} refuses the request (HTTP {status})", error.param, lasting=status == 404)
            case openai.APIStatusError(status_code=status) if status in _PASSING or status >= 500:
                return LanguageModelAway(f"{self} answers HTTP {status}", retry_after(error.response.headers))
            case openai.APIStatusError(status_code=status):
                return LanguageModelFailed(f"{self} refuses the request (HTTP {status})")
            case openai.APITimeoutError() | TimeoutError():
                return LanguageModelAway(f"{self} does not answer in time")
            case openai.APIConnectionError():
                return LanguageModelAway(f"{self} cannot be reached: {error.__cause__ or error}")
            case _:
                return WrongAnswer("There is no answer.", f"no completion ({type(error).__name__})")


def _format(dialect: Dialect, answer: type[BaseModel]) -> dict[str, Any]:
    if dialect.form == "json_object":
        return {"type": "json_object"}
    from openai import pydantic_function_tool  # the library's public way to a strict schema

    schema: Any = pydantic_function_tool(answer)["function"].get("parameters")
    described = {"name": answer.__name__, "strict": True, "schema": strict_schema(schema)}
    return {"type": "json_schema", "json_schema": described}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to be left alone for (RFC 9110 §10.2.3: a number or a date; OpenAI also says
    milliseconds); None where it does not say so in a way that can be understood."""
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(header)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            when = email.utils.parsedate_tz(value)
            seconds = -1.0 if when is None else email.utils.mktime_tz(when) - time.time()
        if 0 <= seconds < float("inf"):
            return seconds
    return None

"""A language model behind an endpoint that speaks the OpenAI API: OpenAI, Ollama, vLLM, LM Studio, and others."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx
import structlog
from contracts.errors import LanguageModelAway, LanguageModelFailed
from pydantic import BaseModel

from runtime.language_model import Answered, LanguageModel, LanguageModelChoice
from runtime.language_model_answers import WrongAnswer, instruction, read_answer
from runtime.language_model_breaker import Breaker
from runtime.language_model_endpoint import Dialect, Endpoint, Message, NotTaken, Said
from runtime.settings import Settings
from runtime.spans import answered, asking
from runtime.tasks import end

log = structlog.get_logger()
T = TypeVar("T", bound=BaseModel)
OPENAI_URL = "https://api.openai.com/v1"
_TRIES = 4
"""Of one request, as long as nothing answers."""
_WRONG_ANSWERS = 3
_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.5, 8.0
_WAIT_MOST_S = 20.0
"""For longer than that, which an endpoint may ask for, no question is held."""
_REPEATED_CHARACTERS = 4000
_ANSWERED = (NotTaken, WrongAnswer, LanguageModelFailed)
_NOBODY_ASKS_S = 5.0
_GREETING: tuple[Message, ...] = (("system", "You are asked whether you are there."), ("user", "Answer: yes"))
_LOCAL = ("localhost", "127.0.0.1", "::1")


def language_model_choice(settings: Settings) -> LanguageModelChoice | None:
    """What the environment chooses; None: no language model. `OPENAI_API_KEY` alone chooses nothing, and is shown to
    OpenAI only."""
    if settings.llm is None:
        return None
    key = settings.llm_api_key
    if key is None and settings.llm_base_url.rstrip("/") == OPENAI_URL:
        key = settings.openai_api_key
    return LanguageModelChoice(settings.llm, settings.llm_base_url, None if key is None else key.get_secret_value())


def open_language_model(choice: LanguageModelChoice, settings: Settings) -> LanguageModel:
    """The model of this choice, to be closed at the end. Nothing is asked, and nothing checked, before the first
    question."""
    url = httpx.URL(choice.base_url)
    if url.scheme == "http" and choice.api_key and url.host not in _LOCAL:
        log.warning("language_model_key_unencrypted", host=url.host)
    return OpenAIModel(choice, settings.llm_timeout, settings.llm_budget, settings.llm_concurrency)


class OpenAIModel:
    """`LanguageModel` at one endpoint. Texts leave this process, and this machine if it is elsewhere.

    Seconds: `timeout` of a request, `budget` of a question. What passes (429, 5xx, time-outs, cut connections) is tried
    again with growing pauses, a wrong answer with what is wrong about it; a refusal is final. See `Breaker` for an
    endpoint that is away.
    """

    def __init__(self, choice: LanguageModelChoice, timeout: float, budget: float, concurrency: int) -> None:
        self._endpoint = Endpoint(choice, timeout)
        self._budget = budget
        self._slots = asyncio.Semaphore(concurrency)
        self._breaker = Breaker()
        self._dialect = Dialect()
        self._refusal: str | None = None
        self._asking: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """See `LanguageModel.name`."""
        return self._endpoint.name

    @property
    def failure(self) -> str | None:
        """See `LanguageModel.failure`. Also what only a person can mend: a key or a model's name that is refused."""
        return self._breaker.reason or self._refusal

    async def ask(self, system: str, user: str, answer: type[T]) -> Answered[T]:
        """See `LanguageModel.ask`."""
        if self._closed:
            raise self._closing()
        asking = asyncio.create_task(self._ask(_Question(system, user, answer), answer))
        self._asking.add(asking)
        try:
            await asyncio.wait((asking,))
        finally:
            self._asking.discard(asking)
            await end(asking)
        if asking.cancelled():
            raise self._closing()
        return asking.result()

    async def close(self) -> None:
        """See `LanguageModel.close`."""
        self._closed = True
        await end(*self._asking, *filter(None, (self._looking,)))
        await self._endpoint.close()

    def _closing(self) -> LanguageModelAway:
        return LanguageModelAway(f"{self._endpoint} is not asked any more: Memlog stops, or uses another one")

    async def _ask(self, question: "_Question", answer: type[T]) -> Answered[T]:
        self._breaker.check()
        async with self._slots:
            before = self.failure
            try:
                with self._breaker.question() as probe:
                    return await self._within_budget(question, answer, probe)
            finally:
                if self.failure != before:
                    log.warning("language_model", model=self.name, failure=self.failure)
                if self._breaker.open and (self._looking is None or self._looking.done()):
                    self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """While it is away and nobody asks, see whether it is back: health shall not say for days that it is not."""
        while self._breaker.open:
            await asyncio.sleep(self._breaker.left + _NOBODY_ASKS_S)
            if self._breaker.open:
                with contextlib.suppress(LanguageModelAway, *_ANSWERED), self._breaker.question():
                    await self._complete(replace(self._dialect, form="text"), _GREETING, BaseModel)
        log.info("language_model", model=self.name, failure=None)

    async def _within_budget(self, question: "_Question", answer: type[T], probe: bool) -> Answered[T]:
        try:
            async with asyncio.timeout(self._budget):
                return await self._converse(question, answer, probe)
        except TimeoutError:
            raise LanguageModelAway(f"{self._endpoint} does not come to an end within {self._budget:g} s") from None

    async def _converse(self, question: "_Question", answer: type[T], probe: bool) -> Answered[T]:
        dialect, failed, wrong = self._dialect, 0, 0
        while True:
            try:
                said = await self._request(question, dialect)
            except LanguageModelAway as away:
                failed += 1
                asked_for = away.retry_after or 0.0
                if probe or failed == _TRIES or asked_for > _WAIT_MOST_S or self._breaker.open:
                    raise
                await asyncio.sleep(max(_pause(failed), asked_for))
                continue
            except NotTaken as refused:
                other = None if refused.parameter == "api_key" else dialect.without(refused.parameter)
                if other is None:
                    self._refusal = refused.reason if refused.lasting else None
                    raise LanguageModelFailed(refused.reason) from None
                dialect = other
                continue
            except WrongAnswer as no_completion:
                problem = no_completion
            else:
                self._dialect, self._refusal = dialect, None
                try:
                    value = read_answer(said.content, answer)
                    return Answered(value, said.model, question.input_tokens, question.output_tokens, question.attempts)
                except WrongAnswer as not_asked_for:
                    problem = not_asked_for
                    question.wrong = said, str(problem)
            wrong += 1
            if wrong == _WRONG_ANSWERS:
                raise LanguageModelFailed(
                    f"{self._endpoint} answers with something else than was asked for, {wrong} times: {problem.kinds}"
                )

    async def _request(self, question: "_Question", dialect: Dialect) -> Said:
        question.attempts += 1
        said = await self._complete(dialect, question.messages(dialect), question.answer)
        question.input_tokens += said.input_tokens
        question.output_tokens += said.output_tokens
        return said

    async def _complete(self, dialect: Dialect, messages: Sequence[Message], answer: type[BaseModel]) -> Said:
        try:
            with asking(self._endpoint.model, self._endpoint.place) as span:
                said = await self._endpoint.complete(dialect, messages, answer)
                answered(span, self._endpoint.model, said.model, said.input_tokens, said.output_tokens)
        except _ANSWERED:
            self._breaker.answered()
            raise
        self._breaker.answered()
        return said


@dataclass(slots=True)
class _Question:
    """What is asked, and what it took so far. `wrong`: the last answer that was wrong, and what is wrong about it."""

    system: str
    user: str
    answer: type[BaseModel]
    wrong: tuple[Said, str] | None = None
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def messages(self, dialect: Dialect) -> list[Message]:
        # An endpoint may also pass over a schema in silence: after a wrong answer it is told in words.
        in_words = dialect.form != "json_schema" or self.wrong is not None
        system = f"{self.system}\n\n{instruction(self.answer)}" if in_words else self.system
        messages: list[Message] = [("system", system), ("user", self.user)]
        if self.wrong is not None:
            said, problem = self.wrong
            cut_off = " It was cut off: be shorter." if said.cut_off else ""
            messages.append(("assistant", said.content[:_REPEATED_CHARACTERS]))
            messages.append(("user", f"This cannot be used. {problem}{cut_off} Answer once more, correctly."))
        return messages


def _pause(failed: int) -> float:
    return min(_PAUSE_FIRST_S * 2 ** (failed - 1), _PAUSE_MOST_S) * random.uniform(0.5, 1.0)

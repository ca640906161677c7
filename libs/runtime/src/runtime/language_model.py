"""A language model, as those see it who ask: whichever endpoint answers, answers come checked, or an error says
whether asking again can help."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class LanguageModelChoice:
    """Which model to ask, and how. `base_url` is of an endpoint that speaks the OpenAI API."""

    model: str
    base_url: str
    api_key: str | None = None
    temperature: float = 0.0
    max_tokens: int = 2000


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """What the model said, as the type that was asked for; `model` as it names itself. Tokens are of all attempts."""

    value: T
    model: str
    input_tokens: int
    output_tokens: int
    attempts: int


class LanguageModel(Protocol):
    """One model at one endpoint."""

    @property
    def name(self) -> str:
        """`openai:gpt-4o-mini@api.openai.com`: for health, and for what is written down about its answers."""
        ...

    @property
    def failure(self) -> str | None:
        """Why it does not answer now, for health; None as far as is known."""
        ...

    async def ask(self, system: str, user: str, answer: type[T]) -> Answered[T]:
        """An answer of the type `answer`. Raises `LanguageModelAway` (can heal; at once while it is known to be away),
        `LanguageModelFailed` (asking again is no use now)."""
        ...

    async def close(self) -> None:
        """Cut off what is under way."""
        ...

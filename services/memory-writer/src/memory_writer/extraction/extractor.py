"""From a text to decisions: two questions to the language model, and in between a look at what is remembered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.commands import FactDecision
from contracts.errors import LanguageModelFailed
from contracts.ids import normalize_text
from runtime.language_model import LanguageModel

from memory_writer.domain.source import Received
from memory_writer.extraction.deciding import Decisions, Facts, decided, decisions_prompt, facts_prompt, question
from memory_writer.extraction.similar import Remembered, User


class Chosen(Protocol):
    """Which language model is wanted now (`runtime.stored_settings`)."""

    @property
    def model(self) -> LanguageModel | None: ...

    @property
    def failure(self) -> str | None: ...


@dataclass(slots=True)
class Reading:
    """A text while a model reads it: received at `at`, to be compared with all up to the shard's event at `after`.
    `facts` are kept for the next try, so that the first question is answered once."""

    user: User
    source: Received
    at: datetime
    after: int
    facts: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """What to do, and by which model's word."""

    decisions: tuple[FactDecision, ...]
    model: str


class Extractor:
    """Asks the model that is wanted at the moment."""

    def __init__(self, chosen: Chosen, remembered: Remembered) -> None:
        self._chosen = chosen
        self._remembered = remembered

    async def extract(self, reading: Reading) -> Extracted:
        """What the text comes to. Raises `LanguageModelFailed` (also when none is wanted), `LanguageModelAway`,
        `Unavailable`."""
        model = self._chosen.model
        if model is None:
            raise LanguageModelFailed(self._chosen.failure or "no language model is configured")
        user = reading.user
        instructions = await self._remembered.instructions(user)
        if reading.facts is None:
            prompt = facts_prompt(reading.at, instructions)
            reading.facts = (await model.ask(prompt, reading.source.text.text, Facts)).value.facts
        if not reading.facts:
            return Extracted((), model.name)
        replaced = await self._replaced(reading)
        without = None if replaced is None else replaced.memory_id
        known = await self._remembered.similar(user, reading.facts, reading.after, without)
        answers = ()
        if known:
            prompt = decisions_prompt(reading.at, instructions)
            answers = (await model.ask(prompt, question(reading.facts, known), Decisions)).value.decisions
        decisions = decided(reading.facts, known, answers)
        return Extracted(decisions if replaced is None else (replaced, *decisions), model.name)

    async def _replaced(self, reading: Reading) -> FactDecision | None:
        """A text that was stored as it is, because the model had failed, gives way to the facts that are found in it
        now; unless it was changed since, or is a fact itself."""
        text, before = reading.source.text.text, reading.source.processed
        if before is None or before.outcome != "verbatim" or not before.items:
            return None
        if normalize_text(text) in map(normalize_text, reading.facts or ()):
            return None
        memory = await self._remembered.memory(reading.user, str(before.items[0].id))
        if memory is None or memory.text != text:
            return None
        return FactDecision(
            event="DELETE", text=text, memory_id=memory.memory_id, version=memory.version, previous_text=memory.text
        )

"""The source aggregate: a text that memories are made of, as it came, and how often it was gone through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from contracts.commands import AddMemory
from contracts.errors import NotFound
from contracts.events import ReprocessingRequested, TextProcessed, TextReceived
from runtime.decider import Decider

# Events (a storage format)

SourceEvent = TextReceived | ReprocessingRequested | TextProcessed

# Fold


@dataclass(frozen=True, slots=True)
class Unknown:
    """No text has this id."""


@dataclass(frozen=True, slots=True)
class Received:
    """It is kept. `processed`: what came of it last, None while nothing has."""

    text: TextReceived
    processed: TextProcessed | None = None


Source = Unknown | Received


def evolve(state: Source, event: SourceEvent) -> Source:
    match event:
        case TextReceived():
            return Received(event)
        case TextProcessed() if isinstance(state, Received):
            return replace(state, processed=event)
        case TextProcessed() | ReprocessingRequested():
            return state
        case _:
            assert_never(event)


# Decisions


@dataclass(frozen=True, slots=True)
class Receive:
    """`AddMemory` with the id that its text gets: the command's own."""

    source_id: str
    request: AddMemory


@dataclass(frozen=True, slots=True)
class Reprocess:
    source_id: str


SourceCommand = Receive | Reprocess


def decide(state: Source, command: SourceCommand) -> Sequence[SourceEvent]:
    """The events that follow; empty when the text is there already. Raises `NotFound` for reprocessing none."""
    match command:
        case Receive(source_id, request):
            if isinstance(state, Received):
                return ()
            said = request.model_dump(include={"text", "metadata", "categories"})
            return (TextReceived(source_id=source_id, **said),)
        case Reprocess(source_id):
            if isinstance(state, Unknown):
                raise NotFound(f"source {source_id} was not found")
            return (ReprocessingRequested(source_id=source_id),)
        case _:
            assert_never(command)


SOURCE: Decider[SourceCommand, SourceEvent, Source] = Decider(decide, evolve, Unknown())

"""Texts that wait to be read, and the ends that are waited for."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.ids import command_id_for_key


@dataclass(slots=True)
class Job:
    """A text to read, as an event asks for it. It holds no text: many may wait for long. `ack` is where the message is
    acknowledged; `waiting` where the gateway waits that sent it, None once it was told not to; `headers` are those of
    the trace."""

    uid: str
    source_id: str
    event_id: str
    operation_id: str
    sequence: int
    ack: str
    waiting: str | None
    headers: Mapping[str, str]
    facts: Sequence[str] | None = None

    @property
    def command_id(self) -> str:
        """Derived from the event's id: a text that is read twice sends one command."""
        return command_id_for_key(self.uid, f"memlog:process:{self.event_id}")


class Ends:
    """Where texts are waited for to be processed, by the command that does it."""

    def __init__(self) -> None:
        self._expected: dict[str, asyncio.Future[int]] = {}

    def expect(self, command_id: str) -> "asyncio.Future[int]":
        """The sequence of the event that says it, once it arrives."""
        return self._expected.setdefault(command_id, asyncio.get_running_loop().create_future())

    def arrived(self, command_id: str, sequence: int) -> None:
        """The event is there; perhaps nobody waits for it any more."""
        future = self._expected.pop(command_id, None)
        if future is not None and not future.done():
            future.set_result(sequence)

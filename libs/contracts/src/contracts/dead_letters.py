"""Dead letters: what a part of Memlog gave up on, as a person sees it, and how its owner is asked to try again."""

from typing import Literal

from pydantic import Field

from contracts.api import AggregateView, LogMessage, View

RedriveStatus = Literal["healed", "sent_again", "dropped", "failed"]


class DeadLetter(View):
    """A copy of a message that a consumer gave up on. `subject`, `stream` and `sequence` say where the original
    stands; `count` letters of the same consumer are about the same aggregate."""

    id: int
    consumer: str
    shard: int
    aggregate: AggregateView
    reason: str
    subject: str
    stream: str
    sequence: int
    at: str = Field(description="ISO 8601, UTC: when it was given up on")
    count: int


class DeadLetterPage(View):
    """Oldest first. `total` letters, about `aggregates` aggregates; pass `next` as `after` for those that follow."""

    dead_letters: list[DeadLetter]
    total: int
    aggregates: int
    next: int | None = None


class DeadLetterDetail(DeadLetter):
    """`message` is what was given up on. Its content is there for its owner only."""

    message: LogMessage


class Redriven(View):
    """`healed`: applied, and its letters are gone; `sent_again`: a command that its writer gets once more; `dropped`:
    given up on for good; `failed`: `error` says why, and the letters stay. `letters` were about this aggregate. With
    `dropped`, `error` says why other letters of it stay."""

    id: int
    consumer: str
    aggregate: AggregateView
    letters: int
    status: RedriveStatus
    error: str | None = None


class RedriveReport(View):
    """What became of each aggregate, in the order in which they were given up on."""

    results: list[Redriven]


# -- between services, over core NATS ----------------------------------------------------------------------------------


class RedriveRequest(View):
    """Try again what stands on `subject` of MEMLOG_DEAD. `without`: sequences of messages to go on without for good."""

    subject: str
    without: list[int] = []


class RedriveReply(View):
    """`error`: nothing could be applied, and this is why; the dead letters stay. `stays`: what was asked for is done,
    or some of it, and this is why other letters stay."""

    error: str | None = None
    stays: str | None = None

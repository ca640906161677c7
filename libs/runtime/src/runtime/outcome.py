"""What handling a message came to. Handlers return one; only the consumer loop acks, naks or gives up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Applied:
    """Done, and durable where it has to be."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing to do: handled before."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Not meant for this handler (an unknown type)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now: try this message, and all after it, again in `delay` seconds."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    """Never: copy it to MEMLOG_DEAD with the reason and go on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """Taken over: the handler works on, beside what follows, and acks the message itself at the end."""


Outcome = Applied | Skipped | NotApplicable | Retry | Reject | Deferred
"""A handler of many messages returns one a message, in order; after the first `Retry` it need not go on."""

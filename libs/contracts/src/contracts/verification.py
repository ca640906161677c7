"""What is proven of the log and of what is derived from it: chain heads, differences, and how far a verification is."""

from typing import Literal

from pydantic import Field

from contracts.api import View

DifferenceKind = Literal[
    "message_changed",
    "message_missing",
    "message_inserted",
    "message_moved",
    "row_changed",
    "row_missing",
    "row_inserted",
    "entry_missing",
    "log_cut",
    "chain_differs",
    "other_log",
    "log_damaged",
    "position_differs",
    "command_lost",
    "user_lost",
    "store_differs",
    "anchor_unreadable",
]
"""What differs: `message_*` of the log and `row_*` of the audit against each other, by the chain; `entry_missing`: gone
from both. `log_cut` and `chain_differs`: against a head that was exported before. `other_log`: another incarnation.
`log_damaged`: the server itself says that it lost something. `position_differs`: a derived store has applied what the
log does not hold. `command_lost`: a command was carried out and the log does not say how. `user_lost`: a user of the
log is not in the directory, or has no key. `store_differs`: a derived store is not what the log leads to."""


class Difference(View):
    """The first difference that a check found. `sequence` 0: it stands at no place of its own."""

    kind: DifferenceKind
    where: str = Field(description="The stream or the derived store")
    sequence: int = 0
    detail: str


class ChainHead(View):
    """The audit chain of a stream at a sequence: whoever has it can tell later whether anything up to there changed."""

    stream: str
    shard: int
    incarnation: str = Field(description="Of the shard: the nonce of its first event")
    sequence: int = Field(ge=0)
    head: str = Field(pattern="^[0-9a-f]{64}$")


class Anchor(View):
    """The heads of all chains at a time. A log and its audit rows that were both cut, or both written anew, fit each
    other; they do not fit an anchor that was kept elsewhere."""

    time: str = Field(description="ISO 8601, UTC")
    heads: list[ChainHead]


class AnchorCheck(View):
    """Heads to compare with the chains as they stand."""

    heads: list[ChainHead] = Field(max_length=1000)


class AnchorReply(View):
    """`checked` heads are in the chains, up to the first difference."""

    checked: int
    difference: Difference | None = None


CheckState = Literal["waiting", "running", "ok", "differs", "skipped", "failed"]


class Check(View):
    """One thing that is verified. `done` of `of` messages (or rows, or heads); `detail` says what was found, why it was
    not done (`skipped`), or why it could not be done (`failed`)."""

    name: str
    state: CheckState = "waiting"
    done: int = 0
    of: int = 0
    detail: str | None = None
    difference: Difference | None = None


class Verification(View):
    """A verification under way, or the last one. `result` None while it runs: `equal`: nothing differs; `differs`: the
    checks say what; `incomplete`: a check could not be done."""

    state: Literal["none", "running", "done"] = "none"
    started_at: str | None = None
    finished_at: str | None = None
    result: Literal["equal", "differs", "incomplete"] | None = None
    checks: list[Check] = []


class VerificationRequest(View):
    """Asked of the one who verifies (`subjects.VERIFICATION`). `start` while one runs joins that one; `stores`: compare
    the derived stores with a fresh fold of the log, too. `anchor`: the chain heads as they are now. `check`: compare
    `heads` with the chains."""

    action: Literal["start", "show", "anchor", "check"]
    stores: bool = True
    heads: list[ChainHead] = []


class VerificationReply(View):
    """The answer, or the error that refused it."""

    verification: Verification | None = None
    anchor: Anchor | None = None
    checked: AnchorReply | None = None
    code: str | None = None
    error: str | None = None

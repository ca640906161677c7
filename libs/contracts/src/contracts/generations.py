"""Generations of derived stores: what serves, what is being rebuilt beside it, and what can be rolled back to."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from contracts.api import View

GenerationState = Literal["building", "paused", "following", "serving", "retired", "failed"]
"""`building`: being filled from the log, apart from what serves. `paused`: that, halted by a person. `following`: it
has caught up and gets every batch together with the serving one. `serving`: reads see it. `retired`: it served before,
and can be rolled back to. `failed`: `failure` says why; it is dropped, or built on when that is asked for."""


class GenerationView(View):
    """One generation of a projection. `version` is that of the code that fills it, `embedder` that of an index."""

    number: int
    state: GenerationState
    version: int
    embedder: str | None = None
    started_at: datetime
    switched_at: datetime | None = None
    positions: dict[str, int] = Field(default={}, description="Shard to the last sequence applied")
    parity: Literal["equal", "differs", "not comparable"] | None = Field(
        default=None, description="How it compared with the serving one when it had caught up"
    )
    difference: str | None = Field(default=None, description="The first difference that was found")
    failure: str | None = None
    hold: bool = Field(default=False, description="It is not switched to by itself")


class RebuildProgress(View):
    """How far a rebuild is, over all shards. `rate` in events a second, `seconds_left` None while it is not known."""

    number: int
    events: int
    of: int
    rate: float
    seconds_left: float | None = None
    counts: dict[str, int] = Field(
        default={}, description="Of an index: vectors that came from the cache, and that the embedder made"
    )


class ProjectionView(View):
    """A projection: where it is (`positions`), how far behind the log (`lag`, events), and its generations. `failure`:
    what is in the way of a rebuild, or why nobody answers for the projection."""

    name: str
    positions: dict[str, int]
    lag: int
    state_hash: str | None = None
    generations: list[GenerationView]
    rebuild: RebuildProgress | None = None
    failure: str | None = None


class ProjectionList(View):
    projections: list[ProjectionView]


GenerationAction = Literal["describe", "rebuild", "pause", "resume", "cancel", "switch", "rollback", "drop"]


class GenerationRequest(View):
    """Asked of the one who keeps a projection's generations (`subjects.generations_subject`).

    `rebuild`: fill a new generation, or go on with one that was not finished, unless `from_scratch`; switch to it when
    it has caught up and compares equal, unless `hold`. `switch` and `rollback` take `number` (default: the one that
    follows; the one that served last), and `force` past a difference. `drop` removes one that does not serve.
    """

    action: GenerationAction
    number: int | None = None
    from_scratch: bool = False
    hold: bool = False
    force: bool = False
    embedder: str | None = Field(default=None, description="Of an index: rebuild it with this embedder")
    state_hash: bool = Field(default=False, description="Describe the state by its hash too; that reads all of it")


class GenerationReply(View):
    """What the projection is like after the action; or the error that refused it."""

    projection: ProjectionView | None = None
    code: str | None = None
    error: str | None = None


FollowAction = Literal["follow", "leave", "serve"]


class FollowRequest(View):
    """Asked of a shard's owner (`subjects.follow_subject`). `follow`: catch the generation up, and feed it together
    with the serving one from then on, both under `epoch`. `leave`: feed it no longer. `serve`: it serves now, the one
    before is fed no longer. Each may be asked again."""

    action: FollowAction
    number: int
    epoch: int = 0


class FollowReply(View):
    """Which generations the owner of the shard feeds after that; or why it could not."""

    serving: int = 0
    following: list[int] = []
    error: str | None = None

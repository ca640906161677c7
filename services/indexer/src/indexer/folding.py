"""What a batch of changes comes to, folded in plain Python before the vector store is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from indexer.index import Change, PutVersion, Remove, Revise, SetCategories, SetState


@dataclass(frozen=True, slots=True)
class Head:
    """What the store remembers of a memory for ever, even after its removal: enough to drop what is stale, and to
    build the points of its next version."""

    sequence: int
    deleted: bool
    uid: str = ""
    app_id: str = ""
    state: str = ""
    categories: tuple[str, ...] = ()
    version: int = 0
    created_at: int = 0
    updated_at: int = 0


@dataclass(frozen=True, slots=True)
class Update:
    """A change of filter fields of the current version's points, which stay. None leaves a field as it is."""

    state: str | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """The texts of a memory that a batch brings, oldest first: the last one is current, the others are past already.

    Of what is stored, versions from `since` on go. `before` is the version that was current there (0: none was): if it
    stays, it is past now.
    """

    texts: tuple[PutVersion, ...]
    since: int
    before: int

    @property
    def current(self) -> PutVersion:
        return self.texts[-1]


@dataclass(slots=True)
class Plan:
    """The batch's net effect by memory id; a memory is in at most one of `puts`, `removed`, `updates`.

    `heads` are the new heads of all memories that some change of the batch applied to.
    """

    puts: dict[str, Put] = field(default_factory=dict[str, Put])
    removed: set[str] = field(default_factory=set[str])
    updates: dict[str, Update] = field(default_factory=dict[str, Update])
    heads: dict[str, Head] = field(default_factory=dict[str, Head])


def fold(changes: Iterable[Change], known: Mapping[str, Head]) -> Plan:
    """Fold `changes` in order over the stored heads.

    Dropped: a change whose sequence is not above the memory's head (stale or done before), and a change of
    state or categories of a memory that is unknown or deleted. A put above a tombstone restores the memory.
    """
    plan = Plan()
    for change in changes:
        memory_id = change.memory_id
        head = plan.heads.get(memory_id) or known.get(memory_id)
        if head is not None and change.sequence <= head.sequence:
            continue
        match change:
            case PutVersion():
                _put(plan, head, change)
            case Revise():
                if head is None or head.deleted:
                    continue
                _put(plan, head, _next_version(head, change))
            case Remove():
                plan.puts.pop(memory_id, None)
                plan.updates.pop(memory_id, None)
                plan.removed.add(memory_id)
                known_head = head or Head(change.sequence, deleted=True)
                plan.heads[memory_id] = replace(known_head, sequence=change.sequence, deleted=True)
            case SetState() | SetCategories():
                if head is None or head.deleted:
                    continue
                _update(plan, head, change)
            case _:
                assert_never(change)
    return plan


def fold_anew(changes: Iterable[Change]) -> Plan:
    """Fold `changes` in order as if nothing were known of their memories: what they lead to replaces what is stored.
    A memory of which nothing is left is removed."""
    changes = list(changes)
    plan = fold(changes, {})
    plan.puts = {memory_id: replace(put, since=0) for memory_id, put in plan.puts.items()}
    for change in changes:
        if change.memory_id not in plan.puts:
            plan.removed.add(change.memory_id)
            plan.heads[change.memory_id] = Head(change.sequence, deleted=True)
    return plan


def _put(plan: Plan, head: Head | None, put: PutVersion) -> None:
    """A version below the last one begins anew from there: those above it never were."""
    memory_id, version = put.memory_id, put.version
    if memory_id in plan.puts:
        earlier = plan.puts[memory_id]
    elif memory_id in plan.removed:
        earlier = Put((), since=0, before=0)
    else:
        earlier = Put((), since=version, before=0 if head is None or head.deleted else head.version)
    kept = tuple(text for text in earlier.texts if text.version < version)
    plan.removed.discard(memory_id)
    plan.updates.pop(memory_id, None)
    plan.puts[memory_id] = Put((*kept, put), min(earlier.since, version), earlier.before)
    plan.heads[memory_id] = Head(
        sequence=put.sequence,
        deleted=False,
        uid=put.uid,
        app_id=put.app_id,
        state=put.state,
        categories=put.categories,
        version=put.version,
        created_at=put.created_at,
        updated_at=put.updated_at,
    )


def _next_version(head: Head, change: Revise) -> PutVersion:
    return PutVersion(
        memory_id=change.memory_id,
        uid=head.uid,
        app_id=head.app_id,
        version=change.version,
        state=head.state if change.state is None else change.state,
        categories=change.categories,
        created_at=head.created_at,
        updated_at=change.updated_at,
        chunks=change.chunks,
        vectors=change.vectors,
        hashes=change.hashes,
        sequence=change.sequence,
    )


def _update(plan: Plan, head: Head, change: SetState | SetCategories) -> None:
    memory_id = change.memory_id
    put = plan.puts.get(memory_id)
    text = put and put.current
    update = plan.updates.get(memory_id, Update())
    if isinstance(change, SetState):
        text = text and replace(text, state=change.state)
        update = replace(update, state=change.state)
        head = replace(head, state=change.state, sequence=change.sequence, updated_at=change.updated_at)
    else:
        text = text and replace(text, categories=change.categories)
        update = replace(update, categories=change.categories)
        head = replace(head, categories=change.categories, sequence=change.sequence, updated_at=change.updated_at)
    if put is not None and text is not None:
        plan.puts[memory_id] = replace(put, texts=(*put.texts[:-1], text))
    else:
        plan.updates[memory_id] = update
    plan.heads[memory_id] = head

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
    """A change of filter fields of points that stay. None leaves a field as it is."""

    state: str | None = None
    categories: tuple[str, ...] | None = None


@dataclass(slots=True)
class Plan:
    """The batch's net effect by memory id; a memory is in at most one of `puts`, `removed`, `updates`.

    `heads` are the new heads of all memories that some change of the batch applied to.
    """

    puts: dict[str, PutVersion] = field(default_factory=dict[str, PutVersion])
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
                _put(plan, change)
            case Revise():
                if head is None or head.deleted:
                    continue
                _put(plan, _next_version(head, change))
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
    for change in changes:
        if change.memory_id not in plan.puts:
            plan.removed.add(change.memory_id)
            plan.heads[change.memory_id] = Head(change.sequence, deleted=True)
    return plan


def _put(plan: Plan, put: PutVersion) -> None:
    plan.removed.discard(put.memory_id)
    plan.updates.pop(put.memory_id, None)
    plan.puts[put.memory_id] = put
    plan.heads[put.memory_id] = Head(
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
        state=head.state,
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
    update = plan.updates.get(memory_id, Update())
    if isinstance(change, SetState):
        put = put and replace(put, state=change.state)
        update = replace(update, state=change.state)
        head = replace(head, state=change.state, sequence=change.sequence, updated_at=change.updated_at)
    else:
        put = put and replace(put, categories=change.categories)
        update = replace(update, categories=change.categories)
        head = replace(head, categories=change.categories, sequence=change.sequence, updated_at=change.updated_at)
    if put is not None:
        plan.puts[memory_id] = put
    else:
        plan.updates[memory_id] = update
    plan.heads[memory_id] = head

"""Random changes against a dict, for every adapter; and with a crash between any two calls of the store."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from contracts_index.adapters import DIMENSION, EMBEDDER, Open, at, found, open_made, put, revise
from contracts_index.local_server import Interruptions, LocalServer, LocalWords
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from indexer.index import (
    Change,
    MemoryIndex,
    PutVersion,
    Remove,
    Revise,
    SearchFilter,
    SetCategories,
    SetState,
)
from indexer.qdrant_edge import EdgeIndex
from indexer.qdrant_server import ServerIndex

STATES = ("active", "paused", "archived", "deleted")
CATEGORIES = ("food", "work")
MEMORIES = ("a", "b", "c")
# Examples share an index, for speed: each one writes memories of a user of its own.
_examples = count()


@dataclass(frozen=True, slots=True)
class Known:
    version: int
    state: str
    categories: tuple[str, ...]


class Model:
    """What the contract says, in the plainest form."""

    def __init__(self) -> None:
        self.memories: dict[str, Known] = {}
        self.versions: dict[str, list[int]] = {}
        self._sequences: dict[str, int] = {}

    def apply(self, change: Change) -> None:
        memory_id = change.memory_id
        if change.sequence <= self._sequences.get(memory_id, 0):
            return
        match change:
            case PutVersion():
                self.memories[memory_id] = Known(change.version, change.state, change.categories)
                self.versions.setdefault(memory_id, []).append(change.version)
            case Remove():
                self.memories.pop(memory_id, None)
                self.versions.pop(memory_id, None)
            case Revise() | SetState() | SetCategories() if memory_id not in self.memories:
                return
            case Revise():
                self.memories[memory_id] = replace(
                    self.memories[memory_id], version=change.version, categories=change.categories
                )
                self.versions[memory_id].append(change.version)
            case SetState():
                self.memories[memory_id] = replace(self.memories[memory_id], state=change.state)
            case SetCategories():
                self.memories[memory_id] = replace(self.memories[memory_id], categories=change.categories)
        self._sequences[memory_id] = change.sequence


@st.composite
def histories(draw: st.DrawFn) -> list[list[Change]]:
    """A log of changes of one user in batches; some batches come again, or start at an older position."""
    uid = f"user{next(_examples)}"
    states = st.sampled_from(STATES)
    categories = st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=2).map(tuple)
    log: list[Change] = []
    for sequence in range(1, draw(st.integers(1, 25)) + 1):
        memory_id = f"{uid}/{draw(st.sampled_from(MEMORIES))}"
        match draw(st.sampled_from(("put", "put", "revise", "state", "categories", "remove"))):
            case "put":
                texts = [f"w{sequence} piece {i}" for i in range(draw(st.integers(1, 3)))]
                log.append(
                    put(
                        memory_id,
                        sequence,
                        *texts,
                        uid=uid,
                        version=sequence,
                        state=draw(states),
                        categories=draw(categories),
                    )
                )
            case "revise":
                log.append(revise(memory_id, sequence, f"w{sequence}", version=sequence, categories=draw(categories)))
            case "state":
                log.append(SetState(memory_id, draw(states), sequence, sequence))
            case "categories":
                log.append(SetCategories(memory_id, draw(categories), sequence, sequence))
            case _:
                log.append(Remove(memory_id, sequence))
    batches: list[list[Change]] = []
    done = 0
    while done < len(log):
        start = draw(st.integers(0, done))
        end = draw(st.integers(done + 1, len(log)))
        batches.append(log[start:end])
        done = end
    return batches


def owner(batches: Sequence[Sequence[Change]]) -> str:
    return batches[0][0].memory_id.partition("/")[0]


async def assert_same(index: MemoryIndex, model: Model, uid: str) -> None:
    for state in STATES:
        expected = {m: k.version for m, k in model.memories.items() if k.state == state}
        assert await found(index, SearchFilter(uid, states=(state,))) == expected
    for category in CATEGORIES:
        expected = {m: k.version for m, k in model.memories.items() if category in k.categories}
        assert await found(index, SearchFilter(uid, states=STATES, categories=(category,))) == expected


async def assert_same_past(index: MemoryIndex, model: Model, uid: str, last: int) -> None:
    """Each version that a memory ever had: the n-th one of each, for all n; and no other. Versions are the sequences of
    the changes that brought them."""
    for number in range(max(map(len, model.versions.values()), default=0)):
        expected = {memory: versions[number] for memory, versions in model.versions.items() if number < len(versions)}
        past = {version: (memory,) for memory, version in expected.items()}
        assert await found(index, SearchFilter(uid, past=past)) == expected
    known = {version for versions in model.versions.values() for version in versions}
    others = {
        version: tuple(f"{uid}/{memory}" for memory in MEMORIES)
        for version in range(1, last + 1)
        if version not in known
    }
    assert await found(index, SearchFilter(uid, past=others)) == {}


Fresh = Callable[[], Awaitable[MemoryIndex]]


@pytest.fixture
async def fresh(adapter: str, open_index: Open, tmp_path: Path) -> AsyncGenerator[Fresh]:
    """An index for one example: the same for all, but in local mode, which slows down with each point ever written."""

    async def shared() -> MemoryIndex:
        return index

    async def in_memory() -> MemoryIndex:
        return await open_made(ServerIndex, LocalServer(), "memlog", words=LocalWords())

    index = await open_index(tmp_path, EMBEDDER, DIMENSION)
    yield in_memory if adapter == "local-server" else shared
    await index.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=histories())
async def test_any_history_in_any_batches_gives_what_the_model_gives(
    index: MemoryIndex, batches: list[list[Change]]
) -> None:
    model = Model()
    for batch in batches:
        await index.apply(batch, at(batch[-1].sequence))
        for change in batch:
            model.apply(change)
        await assert_same(index, model, owner(batches))
        assert await index.checkpoint(0) == at(batch[-1].sequence)
    await assert_same_past(index, model, owner(batches), batches[-1][-1].sequence)


class Crash(Exception):
    pass


class CrashingShard:
    """The engine's shard, until `allowed` updates are done: the next one dies before it is written."""

    def __init__(self, shard: Any) -> None:
        self._shard = shard
        self.allowed: int | None = None

    def update(self, operation: Any) -> None:
        if self.allowed is not None:
            if self.allowed == 0:
                raise Crash
            self.allowed -= 1
        self._shard.update(operation)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)


async def crash() -> None:
    raise Crash


Crashing = Callable[[], Awaitable[tuple[MemoryIndex, CrashingShard | Interruptions]]]


@pytest.fixture(params=["edge", "local-server"])
async def crashing(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Crashing]:
    edge = EdgeIndex.open(tmp_path, EMBEDDER, DIMENSION)
    shard = CrashingShard(vars(edge)["_shard"])
    monkeypatch.setattr(edge, "_shard", shard)

    async def shared() -> tuple[MemoryIndex, CrashingShard]:
        return edge, shard

    async def in_memory() -> tuple[MemoryIndex, Interruptions]:
        client = LocalServer()
        index = await open_made(ServerIndex, client, "memlog", words=LocalWords())
        return index, Interruptions(client, crash)

    yield shared if request.param == "edge" else in_memory
    await edge.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=histories(), crashes=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), max_size=12))
async def test_a_crash_between_any_two_calls_heals_when_the_changes_come_again(
    crashing: Crashing, batches: list[list[Change]], crashes: list[tuple[int, int]]
) -> None:
    """The changes come again in batches that may be shorter or longer. Until they have, some of the batch that
    crashed may show already; nothing of it may be left wrong in the end."""
    index, store = await crashing()
    log = {change.sequence: change for batch in batches for change in batch}
    model = Model()
    done = 0
    await index.checkpoint(0)
    while done < len(log):
        size, calls = crashes.pop() if crashes else (len(log), None)
        batch = [log[sequence] for sequence in range(done + 1, min(done + size, len(log)) + 1)]
        store.allowed = calls
        try:
            await index.apply(batch, at(batch[-1].sequence))
        except Crash:
            await index.checkpoint(0)
            continue
        finally:
            store.allowed = None
        for change in batch:
            model.apply(change)
        done += len(batch)
    await assert_same(index, model, owner(batches))
    await assert_same_past(index, model, owner(batches), len(log))

"""What each app read is counted once, however often and in whatever batches its reads come."""

import random
from collections import Counter

from audit.generations import access_models
from audit.schema import install
from audit.store import PostgresStore
from contracts.codec import Recorded
from contracts.events import MemoriesRead, ReadItem
from runtime.postgres import Pool
from support.recorded_events import UID, at, recorded

APPS = ("one", "two")


def reads(chance: random.Random) -> list[Recorded]:
    kinds = ("search", "list", "get", "export", "history")
    found: list[Recorded] = []
    for sequence in range(1, 201):
        ids = chance.sample(range(12), chance.randrange(6))
        items = tuple(ReadItem(id=f"m{id_}", rank=rank) for rank, id_ in enumerate(ids, 1))
        event = recorded(sequence, MemoriesRead(kind=chance.choice(kinds), items=items), app=chance.choice(APPS))
        found.append(event)
    return found


async def test_reads_are_summed_and_a_replay_changes_nothing(pool: Pool) -> None:
    chance = random.Random(11)
    events = reads(chance)
    generation = await install(pool, access_models)
    store = PostgresStore(pool, generation)
    await store.claim(0, 1)
    done = 0
    while done < len(events):
        batch = events[max(done - chance.randrange(30), 0) : done + chance.randrange(1, 40)]
        await store.apply(batch, 1)
        done = max(done, batch[-1].position.sequence)
    counted: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    last: dict[tuple[str, str], int] = {}
    for event in events:
        assert isinstance(event.payload, MemoriesRead)
        if event.payload.kind in ("search", "list", "get"):
            for item in event.payload.items:
                key = event.meta.app, item.id
                counted[key] += 1
                first.setdefault(key, event.position.sequence)
                last[key] = event.position.sequence
    rows = await pool.fetch(f"SELECT * FROM {generation.schema}.app_reads WHERE uid = $1", UID)
    assert {(r["app_id"], r["memory_id"]): (r["reads"], r["first_at"], r["last_at"]) for r in rows} == {
        key: (count, at(first[key]), at(last[key])) for key, count in counted.items()
    }

"""Rebuilds of the read models beside what serves: with the real process that fills, and the real owners."""

import pytest
from contracts import subjects
from contracts.positions import Position
from support.log_events import UID, added, new_event
from support.rebuilds import Operator, auditing
from support.servers import Log


async def append(log: Log, first: int, count: int, uid: str = UID) -> None:
    key = await log.keys.create(uid)
    wave = [
        new_event(subjects.memory(uid, f"m-{n}"), event=added(f"m-{n}", f"Note {n}"), key=key)
        for n in range(first, first + count)
    ]
    assert all(isinstance(position, Position) for position in await log.events.append(wave))


@pytest.mark.guarantee("G5")
async def test_a_rebuild_fills_another_generation_and_switches_to_it_when_it_is_equal(log: Log, database: str) -> None:
    await append(log, 0, 1000)
    async with auditing(log.settings, database):
        operator = Operator(log)
        await operator.answers()
        before = (await operator.ask(state_hash=True)).state_hash
        await operator.ask("rebuild")
        await operator.serves(2)
        view = await operator.ask(state_hash=True)
        assert [(g.number, g.state, g.parity) for g in view.generations] == [
            (1, "retired", None),
            (2, "serving", "equal"),
        ]
        assert view.state_hash == before

"""Damaged files of the log: noticed before anything is served, or named by a verification; or no message is concerned.

`MEMLOG_DAMAGE_TRIALS=200` tries that often, with other seeds from `MEMLOG_DAMAGE_SEED` on.
"""

import os
import random
from collections import Counter
from collections.abc import AsyncGenerator

import pytest
from support.damage import Damaged, damage, damaged, fill, verdict
from support.stack import running_stack

_TRIALS = int(os.environ.get("MEMLOG_DAMAGE_TRIALS", "12"))
_SEED = int(os.environ.get("MEMLOG_DAMAGE_SEED", "1"))


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Damaged]:
    folder = tmp_path_factory.mktemp("damage")
    async with running_stack(folder / "home") as stack:
        await fill(stack, 150)
        async with damaged(stack, folder) as kept:
            yield kept


@pytest.mark.guarantee("G11")
@pytest.mark.parametrize("copy", ["stopped", "killed"])
async def test_a_log_that_was_not_damaged_is_served_and_nothing_differs(kept: Damaged, copy: str) -> None:
    kept.put_back(copy)
    assert await verdict(kept) == "intact"


@pytest.mark.guarantee("G11")
@pytest.mark.timeout(600 + 10 * _TRIALS)
async def test_damage_to_the_files_of_the_log_is_noticed(kept: Damaged) -> None:
    ends: Counter[str] = Counter()
    for number in range(_TRIALS):
        rng = random.Random(f"damage {_SEED + number}")
        copy = ("stopped", "killed")[number % 2]
        kept.put_back(copy)
        done = damage(kept.home, rng)
        try:
            end = await verdict(kept)
        except AssertionError as error:
            raise AssertionError(f"seed {_SEED + number}, {copy}: {done}") from error
        print(f"{_SEED + number} {copy}: {done}: {end[:150]}")
        ends[end.split(":")[0]] += 1
    print(dict(ends))
    assert ends["intact"] < _TRIALS

"""Changes of many memories that are to happen for all or for none."""

from inspect import signature
from typing import Any, cast

import pytest
from contracts.commands import MAX_IDS_PER_REQUEST, DeleteMemories
from contracts.errors import InvalidInput
from gateway.asking import Caller, These
from gateway.use_cases.states import States
from gateway.use_cases.writing import Writing
from pydantic import ValidationError

ADA = Caller("ada", "dashboard", "rest")
MANY = tuple(f"m-{n}" for n in range(MAX_IDS_PER_REQUEST + 1))
NOTHING = cast("Any", None)  # refused before anything is asked


async def test_more_memories_than_one_step_takes_are_refused_where_it_is_all_or_none() -> None:
    writing = Writing(*[NOTHING] * len(signature(Writing).parameters))
    states = States(NOTHING, NOTHING, NOTHING, NOTHING)
    for change in (
        writing.delete(ADA, MANY, all_or_nothing=True),
        states.set_state(ADA, These(MANY), "paused"),
        states.restore(ADA, MANY),
    ):
        with pytest.raises(InvalidInput, match=r"^501 memories .* at most 500 at a time$"):
            await change


def test_no_command_can_ask_for_all_or_none_of_what_is_done_in_chunks() -> None:
    assert len(DeleteMemories(memory_ids=MANY).memory_ids) == 501
    assert DeleteMemories(memory_ids=(*MANY[1:], MANY[1]), all_or_nothing=True).all_or_nothing
    with pytest.raises(ValidationError, match="all or nothing is for at most 500 memories"):
        DeleteMemories(memory_ids=MANY, all_or_nothing=True)

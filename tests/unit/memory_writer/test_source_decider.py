"""The rules of texts that memories are made of."""

import pytest
from contracts.commands import AddMemory
from contracts.errors import NotFound
from contracts.events import ReprocessingRequested, TextProcessed, TextReceived
from memory_writer.domain.source import SOURCE, Receive, Received, Reprocess
from runtime.decider import given

RECEIVED = TextReceived(source_id="s", text="I moved", metadata={"chat": 7}, categories=("home",))
ASK = AddMemory(text="I moved", metadata={"chat": 7}, categories=("home",), infer=True)


def test_a_text_is_received_with_all_that_came_with_it_and_once() -> None:
    assert given(SOURCE).when(Receive("s", ASK)) == [RECEIVED]
    assert given(SOURCE, RECEIVED).when(Receive("s", ASK)) == []


def test_a_text_that_is_kept_can_be_read_again_and_one_that_is_not_there_cannot() -> None:
    assert given(SOURCE, RECEIVED).when(Reprocess("s")) == [ReprocessingRequested(source_id="s")]
    with pytest.raises(NotFound):
        given(SOURCE).when(Reprocess("s"))


def test_a_text_knows_what_came_of_it_last() -> None:
    first = TextProcessed(source_id="s", outcome="verbatim", reason="it refused")
    last = TextProcessed(source_id="s", outcome="extracted", model="m")
    assert SOURCE.fold([RECEIVED]) == Received(RECEIVED)
    history = [RECEIVED, first, ReprocessingRequested(source_id="s"), last]
    assert SOURCE.fold(history) == Received(RECEIVED, last)
    assert SOURCE.fold([first]) == SOURCE.initial, "a history that does not begin at its beginning says nothing"

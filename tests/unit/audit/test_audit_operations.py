"""Operations that end with another command than the one that began them: texts that a model read in between."""

from dataclasses import replace

from audit.projections import operations
from contracts.events import CommandSettled, ItemResult, ProcessedItem, TextProcessed, TextReceived
from contracts.messages import Event
from contracts.subjects import Aggregate, event_subject, operation, source
from support.recorded_events import UID, recorded

BROUGHT = "018f3a5c-3333-7000-8000-000000000003"


def settled(event: Event, aggregate: Aggregate, final: bool = False) -> list[dict[str, object]]:
    one = recorded(7, event)
    one = replace(one, subject=event_subject(0, aggregate), meta=replace(one.meta, final=final))
    return [dict(statement.row) for statement in operations.PROJECTION.apply(one)]


def test_a_text_that_was_received_leaves_its_operation_open() -> None:
    assert settled(TextReceived(source_id=BROUGHT, text="I moved"), source(UID, BROUGHT)) == []


def test_what_ends_an_operation_names_it_by_where_it_stands() -> None:
    end = CommandSettled(
        command_type="AddMemory", outcome="done", reason="it refused", results=(ItemResult(id="m", event="ADD"),)
    )
    [row] = settled(end, operation(UID, BROUGHT), final=True)
    assert (row["command_id"], row["type"], row["status"], row["reason"]) == (
        BROUGHT,
        "AddMemory",
        "done",
        "it refused",
    )
    assert row["results"] == [{"id": "m", "event": "ADD"}]


def test_the_command_that_carried_it_on_is_done_with_the_text() -> None:
    item = ProcessedItem(id="m", event="ADD", text="Lives in Bern")
    end = TextProcessed(source_id=BROUGHT, outcome="extracted", items=(item,), model="m")
    [row] = settled(end, source(UID, BROUGHT))
    assert row["command_id"] == recorded(7, end).meta.causation_id
    assert (row["type"], row["status"], row["results"]) == ("ProcessText", "done", [])

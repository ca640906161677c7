"""docs/events.md says what the code stores."""

from pathlib import Path

import pytest
from contracts import catalogue
from contracts.commands import COMMANDS
from contracts.events import EVENTS

ROOT = Path(__file__).parents[3]


def section(text: str, name: str) -> str:
    return text.split(f"\n### {name}\n", 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]


def test_the_catalogue_in_docs_is_what_the_code_says_now() -> None:
    found = (ROOT / catalogue.DEFAULT_PATH).read_text(encoding="utf-8")
    assert found == catalogue.render(), "docs/events.md is out of date: run `python -m contracts.catalogue`"


def test_every_event_and_command_has_a_section_with_each_field_once() -> None:
    text = catalogue.render()
    for message in (*EVENTS.values(), *COMMANDS.values()):
        assert text.count(f"\n### {message.type}\n") == 1
        for name in message.model_fields:
            assert section(text, message.type).count(f"\n| `{name}` |") == 1


def test_exactly_the_sealed_fields_are_marked() -> None:
    text = catalogue.render()
    for message in (*EVENTS.values(), *COMMANDS.values()):
        lines = section(text, message.type).splitlines()
        marked = {line.split("`")[1] for line in lines if line.startswith("| `") and line.endswith("| yes |")}
        assert marked == message.sealed


def test_an_event_that_the_catalogue_does_not_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENTS, "SomethingNew", EVENTS["AppPaused"])
    with pytest.raises(LookupError, match="SomethingNew"):
        catalogue.render()

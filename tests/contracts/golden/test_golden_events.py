"""Every event type, in every version that was ever stored, still decodes to what it meant."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
from contracts.codec import decode_event, encode
from contracts.errors import UnsupportedSchema
from contracts.events import EVENTS
from contracts.messages import Event
from contracts.upcasts import UPCASTS, Upcasts
from make_golden import FOLDER, KEY, META, golden_file

FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("kind", EVENTS.values(), ids=list(EVENTS))
def test_each_version_of_each_event_type_has_a_golden_file(kind: type[Event]) -> None:
    for version in range(1, kind.schema_version + 1):
        assert (FOLDER / f"{kind.type}.v{version}.json").is_file(), f"run {FOLDER.name}/make_golden.py and commit it"
    assert golden_file(kind).is_file()


@pytest.mark.parametrize("kind", EVENTS.values(), ids=list(EVENTS))
def test_each_step_between_versions_has_an_upcast(kind: type[Event]) -> None:
    assert all((kind.type, version) in UPCASTS for version in range(1, kind.schema_version))


def _agrees(decoded: Any, expected: Any) -> bool:
    """Equal, but for fields that came later: those have defaults."""
    if isinstance(expected, dict) and isinstance(decoded, dict):
        return all(name in decoded and _agrees(decoded[name], value) for name, value in expected.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(expected, list) and isinstance(decoded, list):
        pairs = zip(decoded, expected, strict=True)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        return all(_agrees(one, other) for one, other in pairs)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return decoded == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_event_decodes_to_what_it_meant(file: Path) -> None:
    golden: dict[str, Any] = json.loads(file.read_text())
    raw = json.dumps(golden["message"], ensure_ascii=False, separators=(",", ":")).encode()
    meta, type_, event = decode_event(raw, KEY)
    assert f"{type_}.v{golden['message']['schema_version']}" == file.stem
    assert event is not None, f"{type_} is not an event type any more: its golden file must decode for ever"
    assert _agrees(json.loads(event.model_dump_json()), golden["expected"])
    assert (meta.uid, meta.app, meta.occurred_at, meta.final) == (META.uid, META.app, META.occurred_at, META.final)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_event_holds_its_content_sealed(file: Path) -> None:
    message: dict[str, Any] = json.loads(file.read_text())["message"]
    assert not set(message["data"]) & EVENTS[message["type"]].sealed
    assert ("sealed" in message) == bool(EVENTS[message["type"]].sealed)


class _Noted(Event):
    type = "Noted"
    schema_version: ClassVar[int] = 3
    sealed: ClassVar = frozenset({"text"})
    text: str
    tags: tuple[str, ...]


class _NotedV1(Event):
    type = "Noted"
    sealed: ClassVar = frozenset({"body"})
    body: str


_STEPS: Upcasts = {
    ("Noted", 1): lambda fields: {"text": fields["body"]},
    ("Noted", 2): lambda fields: fields | {"tags": [fields["text"].split()[0]]},
}


def test_an_old_event_is_lifted_step_by_step_its_sealed_part_included() -> None:
    stored = encode(META, _NotedV1(body="tea at five"), KEY)
    event = decode_event(stored, KEY, {"Noted": _Noted}, _STEPS)[2]
    assert event == _Noted(text="tea at five", tags=("tea",))


def test_an_old_event_without_its_step_is_unsupported() -> None:
    stored = encode(META, _NotedV1(body="tea at five"), KEY)
    with pytest.raises(UnsupportedSchema, match="no upcast of Noted from version 2"):
        decode_event(stored, KEY, {"Noted": _Noted}, {("Noted", 1): _STEPS["Noted", 1]})

"""The catalogue of stored messages, docs/events.md, written from the code: `python -m contracts.catalogue [FILE]`.

A test fails when the file is out of date.
"""

import argparse
import inspect
import json
import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from contracts import commands, subjects
from contracts.commands import COMMANDS
from contracts.events import EVENTS
from contracts.messages import Message

DEFAULT_PATH = Path("docs/events.md")

_MEMORY = subjects.event_subject(0, subjects.memory("UID", "MEMORY_ID"))
_CATEGORY = subjects.event_subject(0, subjects.category("UID", "CATEGORY_ID"))
_RULE = subjects.event_subject(0, subjects.access_rule("UID", "RULE_ID"))
_POLICY = subjects.event_subject(0, subjects.archive_policy("UID", "POLICY_ID"))
_TOKEN = subjects.event_subject(0, subjects.token("UID", "TOKEN_ID"))
_SOURCE = subjects.event_subject(0, subjects.source("UID", "SOURCE_ID"))
_APP = subjects.event_subject(0, subjects.app("UID", "APP_ID"))
_WHERE: Mapping[str, tuple[str, str]] = {
    "LogStarted": ("log", subjects.log_start_subject(0)),
    "UserRegistered": ("user", subjects.event_subject(0, subjects.user("UID"))),
    "AppRegistered": ("app", _APP),
    "AppPaused": ("app", _APP),
    "AppResumed": ("app", _APP),
    "MemoryAdded": ("memory", _MEMORY),
    "MemoryRevised": ("memory", _MEMORY),
    "MemoryCategorized": ("memory", _MEMORY),
    "MemoryPaused": ("memory", _MEMORY),
    "MemoryResumed": ("memory", _MEMORY),
    "MemoryArchived": ("memory", _MEMORY),
    "MemoryUnarchived": ("memory", _MEMORY),
    "MemoryDeleted": ("memory", _MEMORY),
    "MemoryRestored": ("memory", _MEMORY),
    "CategoryDefined": ("category", _CATEGORY),
    "CategoryRemoved": ("category", _CATEGORY),
    "AccessRuleSet": ("access", _RULE),
    "AccessRuleRemoved": ("access", _RULE),
    "DefaultAccessChanged": ("access", subjects.event_subject(0, subjects.default_access("UID"))),
    "SettingsChanged": ("settings", subjects.event_subject(0, subjects.settings("UID"))),
    "ArchivePolicySet": ("archive policy", _POLICY),
    "ArchivePolicyRemoved": ("archive policy", _POLICY),
    "TokenIssued": ("token", _TOKEN),
    "TokenRevoked": ("token", _TOKEN),
    "TextReceived": ("source", _SOURCE),
    "ReprocessingRequested": ("source", _SOURCE),
    "TextProcessed": ("source", _SOURCE),
    "CommandSettled": ("operation", subjects.event_subject(0, subjects.operation("UID", "COMMAND_ID"))),
    "MemoriesRead": ("access", subjects.access_subject(0, "UID", "APP_ID")),
}
"""Aggregate and subject of each event type, on shard 0, ids in capitals (a subject holds no angle brackets). A new
event is missing here until it is added: `render` says so."""

_INTRO = f"""\
# Events and commands

<!-- Written by `python -m contracts.catalogue`. Do not edit: change the code and write it anew. -->

These are storage formats. A change of a field needs the next schema version, an upcast step and a golden file; see
[CONTRIBUTING.md](../CONTRIBUTING.md). What stands around each message (the envelope) is described in
[architecture.md](architecture.md#3-envelope-and-events).

- `<k>` is a shard, `<uid>` a user's opaque id.
- Types are those of the stored JSON. A field without a default is required.
- **Sealed** fields hold content. All sealed fields of a message are one ciphertext; the others are stored in the clear.
- Beyond the limits shown, the gateway holds a text to {commands.MAX_TEXT_BYTES // 1024} KiB of UTF-8 and a request to
  {commands.MAX_IDS_PER_REQUEST} ids.
"""


def render() -> str:
    """The whole file as Markdown. Raises `LookupError` for an event type that the table of subjects lacks."""
    missing = EVENTS.keys() - _WHERE.keys()
    if missing:
        raise LookupError(f"contracts.catalogue does not say where these events stand: {', '.join(sorted(missing))}")
    command_subject = _readable(subjects.command_subject(0, "UID", "COMMAND_ID"))
    lines = [_INTRO, "## Events", "", "| event | version | aggregate | sealed fields |", "|---|---|---|---|"]
    lines += [f"| {_link(e)} | {e.schema_version} | {_WHERE[e.type][0]} | {_sealed(e)} |" for e in EVENTS.values()]
    for event in EVENTS.values():
        aggregate, subject = _WHERE[event.type]
        lines += _section(event, f"Aggregate: {aggregate}. Subject: `{_readable(subject)}`.")
    lines += ["", "## Parts of events and commands", "", "Objects within their fields, never stored by themselves."]
    for part in _parts():
        lines += _section(part, None)
    lines += ["", "## Commands", "", f"Subject: `{command_subject}`."]
    lines += ["", "| command | version | sealed fields |", "|---|---|---|"]
    lines += [f"| {_link(command)} | {command.schema_version} | {_sealed(command)} |" for command in COMMANDS.values()]
    for command in COMMANDS.values():
        lines += _section(command, None)
    return "\n".join(lines) + "\n"


def _section(message: type[Message], where: str | None) -> list[str]:
    documentation = " ".join((inspect.getdoc(message) or "").split())
    lines = ["", f"### {message.type}", "", documentation]
    if where is not None:
        lines += ["", f"Schema version {message.schema_version}. {where}"]
    if message.model_fields:
        lines += ["", "| field | type | default | sealed |", "|---|---|---|---|"]
    for name, field in message.model_fields.items():
        sealed = "yes" if name in message.sealed else ""
        lines.append(f"| `{name}` | {_type_of(field)} | {_default(field)} | {sealed} |")
    return lines


def _parts() -> list[type[Message]]:
    """Message classes that others hold in their fields, each once, in the order of their first use."""
    messages: tuple[type[Message], ...] = (*EVENTS.values(), *COMMANDS.values())
    found = dict.fromkeys(part for message in messages for part in _held_by(message))
    return [part for part in found if part.type not in EVENTS]


def _held_by(message: type[Message]) -> Iterator[type[Message]]:
    for field in message.model_fields.values():
        yield from _messages_in(field.annotation)


def _messages_in(annotation: object) -> Iterator[type[Message]]:
    if isinstance(annotation, type) and issubclass(annotation, Message):
        yield annotation
        yield from _held_by(annotation)
    for argument in get_args(annotation):
        yield from _messages_in(argument)


def _type_of(field: FieldInfo) -> str:
    name = _type_name(field.annotation)
    limits = [
        f"{name_of_limit}: {value}"
        for name_of_limit in ("min_length", "max_length")
        for rule in field.metadata
        if (value := getattr(rule, name_of_limit, None)) is not None
    ]
    return f"{name} ({', '.join(limits)})" if limits else name


def _type_name(annotation: object) -> str:
    """An annotation as the JSON that it is stored as, in words that fit a Markdown table."""
    if annotation is JsonValue:
        return "any JSON"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(argument) for argument in arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"array of {_type_name(arguments[0])}"
    if origin is dict:
        return f"object of {_type_name(arguments[1])}"
    simple: dict[object, str] = {
        str: "string",
        int: "integer",
        float: "number",
        bool: "boolean",
        datetime: "time in ISO 8601",
        AwareDatetime: "time in ISO 8601",
        types.NoneType: "null",
    }
    if annotation in simple:
        return simple[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return _link(annotation)
    raise TypeError(f"contracts.catalogue has no word for {annotation!r}")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    return f"`{json.dumps(to_jsonable_python(field.get_default(call_default_factory=True)))}`"


def _link(message: type[Message]) -> str:
    return f"[{message.type}](#{message.type.lower()})"


def _sealed(message: type[Message]) -> str:
    return ", ".join(f"`{name}`" for name in message.model_fields if name in message.sealed)


def _readable(subject: str) -> str:
    """`memlog.evt.0.UID.app.APP_ID` as `memlog.evt.<k>.<uid>.app.<app_id>`."""
    parts = subject.replace(".0.", ".<k>.", 1).split(".")
    return ".".join(f"<{part.lower()}>" if part.isupper() else part for part in parts)


def main() -> None:
    """Write the file. Exit status 2 when its folder does not exist."""
    parser = argparse.ArgumentParser(
        prog="python -m contracts.catalogue", description="Write the catalogue of messages."
    )
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    path: Path = parser.parse_args().file
    if not path.parent.is_dir():
        parser.error(f"{path.parent} is no folder: run it at the root of the project, or name a file")
    path.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()

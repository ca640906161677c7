"""What each service may do on NATS: a user of its own for each, allowed the subjects that it needs and no others.

`python -m contracts.permissions [FILE]` writes them as the accounts of a nats-server, deploy/nats/accounts.conf; a test
fails when the file is out of date. Why it is so: docs/adr/0025-permissions.md.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts import subjects
from contracts.streams import (
    ACCESS_LOG,
    CATEGORIZER_CONSUMER,
    DEAD,
    DROPPED,
    EXTRACTION_CONSUMER,
    GLOBAL,
    INDEX,
    KEYS,
    LEASE_BUCKET,
    READ_MODELS,
    USERS,
    WRITER_CONSUMER,
    access,
    commands,
    durable_consumers,
    events,
)
from contracts.subjects import ROOT

DEFAULT_PATH = Path("deploy/nats/accounts.conf")
SHARDS = 8
"""For logs of up to so many shards: a wildcard stands for a whole token, and a stream's name is one."""
OPERATOR = "operator"
LEASES = f"KV_{LEASE_BUCKET}"
"""The stream behind the bucket of leases."""
_API = "$JS.API"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects that a user may publish and subscribe to; `denied` are exceptions from the former. To a request that it
    was sent, it may answer once, wherever the answer goes."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    denied: tuple[str, ...] = ()


def inbox_prefix(user: str) -> str:
    """Where the answers to this user's requests go: nobody else may listen there."""
    return f"_INBOX_{user}"


def permissions(shards: int = SHARDS) -> dict[str, Permissions]:
    """By user: the services, and the operator, who is a person with the command line."""
    every = range(shards)
    return {
        "gateway": _gateway(every),
        "memory-writer": _memory_writer(every),
        "indexer": _indexer(every),
        "categorizer": _categorizer(every),
        "audit": _audit(every),
        OPERATOR: Permissions(
            (f"{_API}.>", "$JS.ACK.>", "$JS.SNAPSHOT.>", f"$KV.{LEASE_BUCKET}.>", f"{ROOT}.>"),
            (f"{inbox_prefix(OPERATOR)}.>", f"{ROOT}.>"),
        ),
    }


def _gateway(shards: range) -> Permissions:
    publish = [
        *_reading(
            reads=[
                *(stream(shard).name for shard in shards for stream in (events, commands)),
                *(USERS.name, DEAD.name, DROPPED.name),
            ],
        ),
        # What it makes: commands, reads that were served, users with their keys.
        f"{ROOT}.cmd.>",
        f"{ROOT}.access.>",
        KEYS.subjects[0],
        USERS.subjects[0],
        # A command that was given up on is settled by whoever asks for it here; the rest the owners do.
        f"{ROOT}.dropped.{WRITER_CONSUMER}.>",
        f"{_API}.STREAM.PURGE.{DEAD.name}",
        # Its own short-lived consumers, for those who follow the events live.
        *(each for shard in shards for each in _reads_along(events(shard).name)),
        *(f"{_API}.CONSUMER.DELETE.{events(shard).name}.*" for shard in shards),
        *(subjects.SEARCH, subjects.VERIFICATION, subjects.CONNECTIONS),
        *(subjects.health_request_subject("*"), subjects.progress_subject("*"), subjects.generations_subject("*")),
        *(f"{ROOT}.ask.position.*.*", f"{ROOT}.ask.redrive.*.*"),
    ]
    listen = (f"{ROOT}.position.*.*", subjects.CONNECTIONS)
    return Permissions(tuple(publish), _hears("gateway", *listen), _durables(shards))


def _memory_writer(shards: range) -> Permissions:
    owned = (WRITER_CONSUMER, EXTRACTION_CONSUMER)
    publish = [
        *_reading(
            reads=[*(stream(shard).name for shard in shards for stream in (events, commands)), USERS.name],
        ),
        # The only one who makes streams, and the only one who appends to the truth.
        *(f"{_API}.STREAM.CREATE.{name}" for name in _streams(shards)),
        f"{_API}.INFO",
        f"{ROOT}.evt.>",
        f"{ROOT}.cmd.>",
        *_leases("memory-writer.*", "archive-policies.*", f"{EXTRACTION_CONSUMER}.*"),
        *(each for name in owned for each in _buries(name)),
        *(each for shard in shards for each in _durable(commands(shard).name, WRITER_CONSUMER)),
        *(each for shard in shards for each in _durable(events(shard).name, EXTRACTION_CONSUMER)),
        # Outcomes, to those who wait for them: the commands come from a stream, so they are no requests.
        f"{inbox_prefix('gateway')}.>",
        *(subjects.SEARCH, subjects.DUE, f"{ROOT}.ask.position.*.*"),
    ]
    listen = (
        f"{ROOT}.position.*.*",
        subjects.progress_subject("*"),
        f"{ROOT}.ask.redrive.{EXTRACTION_CONSUMER}.*",
        f"{ROOT}.evt.*.*.policy.*",
    )
    return Permissions(tuple(publish), _hears("memory-writer", *listen))


def _indexer(shards: range) -> Permissions:
    publish = [
        *_reading(reads=[*(events(shard).name for shard in shards), DEAD.name, DROPPED.name]),
        *_projects(INDEX, [events(shard).name for shard in shards]),
        f"{ROOT}.ask.position.*.*",
    ]
    listen = (*_answers_for(INDEX), f"{ROOT}.position.*.*", subjects.SEARCH, subjects.EMBED)
    return Permissions(tuple(publish), _hears("indexer", *listen), _durables(shards))


def _categorizer(shards: range) -> Permissions:
    publish = [
        *_reading(reads=[*(events(shard).name for shard in shards), USERS.name, DEAD.name, DROPPED.name]),
        f"{ROOT}.cmd.>",
        *_leases("categorizer.*"),
        *_buries(CATEGORIZER_CONSUMER),
        *(each for shard in shards for each in _durable(events(shard).name, CATEGORIZER_CONSUMER)),
        *(subjects.EMBED, f"{ROOT}.ask.position.*.*"),
    ]
    listen = (f"{ROOT}.position.*.*", f"{ROOT}.ask.redrive.{CATEGORIZER_CONSUMER}.*")
    return Permissions(tuple(publish), _hears("categorizer", *listen))


def _audit(shards: range) -> Permissions:
    every = [*(stream(shard).name for shard in shards for stream in (events, access, commands))]
    publish = [
        *_reading(reads=[*every, USERS.name, DEAD.name, DROPPED.name]),
        *_projects(READ_MODELS, [events(shard).name for shard in shards]),
        *_projects(ACCESS_LOG, [access(shard).name for shard in shards]),
        *_leases("verification"),
        # To compare the log with what was made of it, the index too.
        *(f"{ROOT}.ask.position.*.*", subjects.generations_subject("*")),
    ]
    listen = (
        *_answers_for(READ_MODELS),
        *_answers_for(ACCESS_LOG),
        f"{ROOT}.position.*.*",
        subjects.DUE,
        subjects.VERIFICATION,
    )
    return Permissions(tuple(publish), _hears("audit", *listen), _durables(shards))


def _reading(reads: list[str]) -> Iterator[str]:
    """What all services do at their start, and reading messages of the streams that this one reads."""
    yield f"{_API}.STREAM.INFO.*"
    yield f"{_API}.CONSUMER.INFO.*.*"
    for stream in (KEYS.name, *reads):
        yield f"{_API}.DIRECT.GET.{stream}"
        yield f"{_API}.STREAM.MSG.GET.{stream}"  # from the leader: what was written a moment ago


def _hears(service: str, *listen: str) -> tuple[str, ...]:
    return (f"{inbox_prefix(service)}.>", subjects.health_request_subject(service), *listen)


def _leases(*names: str) -> Iterator[str]:
    for name in (*names, "epochs"):
        yield f"$KV.{LEASE_BUCKET}.{name}"
    yield f"{_API}.STREAM.MSG.GET.{LEASES}"


def _projects(projection: str, streams: list[str]) -> Iterator[str]:
    """Read the streams in order, say how far that is, keep generations of what is made of them."""
    yield from (each for stream in streams for each in _reads_along(stream))
    yield from _leases(f"{projection}.*", f"generations.{projection}")
    yield from _buries(projection)
    yield subjects.switched_subject(projection)
    yield f"{ROOT}.position.{projection}.*"
    yield f"{ROOT}.ask.follow.{projection}.*"


def _answers_for(projection: str) -> Iterator[str]:
    yield f"{ROOT}.ask.position.{projection}.*"
    yield f"{ROOT}.ask.redrive.{projection}.*"
    yield f"{ROOT}.ask.follow.{projection}.*"
    yield subjects.generations_subject(projection)
    yield subjects.switched_subject(projection)


def _reads_along(stream: str) -> tuple[str, ...]:
    """Consumers that are gone when nobody asks them any more, and acknowledge nothing (`runtime.pull.passing_name`)."""
    create = f"{_API}.CONSUMER.CREATE.{stream}.*"
    return create, f"{create}.>", f"{_API}.CONSUMER.MSG.NEXT.{stream}.*"


def _durable(stream: str, consumer: str) -> tuple[str, ...]:
    at = f"{stream}.{consumer}"
    return (
        *(f"{_API}.CONSUMER.{verb}.{at}" for verb in ("DURABLE.CREATE", "RESET", "MSG.NEXT")),
        f"$JS.ACK.{at}.>",
    )


def _durables(shards: range) -> tuple[str, ...]:
    """Whoever may read along by consumers of any name keeps off those that others work with."""
    named = [f"{stream}.{name}" for shard in shards for stream, name in durable_consumers(shard)]
    verbs = ("CREATE", "DELETE", "MSG.NEXT")
    return tuple(
        f"{_API}.CONSUMER.{verb}.{at}{rest}"
        for at in named
        for verb in verbs
        for rest in (("", ".>") if verb == "CREATE" else ("",))
    )


def _buries(consumer: str) -> tuple[str, ...]:
    """Put a message aside; remove the copy, which is all that may be removed, when it is healed."""
    return (
        f"{ROOT}.dead.{consumer}.>",
        f"{ROOT}.dropped.{consumer}.>",
        *(f"{_API}.{verb}.{stream.name}" for stream in (DEAD, DROPPED) for verb in ("DIRECT.GET", "STREAM.MSG.GET")),
        f"{_API}.STREAM.PURGE.{DEAD.name}",
        f"{_API}.STREAM.MSG.DELETE.{DEAD.name}",
    )


def _streams(shards: range) -> Iterator[str]:
    yield from (spec.name for spec in GLOBAL)
    yield from (stream(shard).name for shard in shards for stream in (commands, events, access))
    yield LEASES


def password_variable(user: str) -> str:
    """The name under which the server's configuration has this user's password."""
    return f"{user.replace('-', '_')}_password"


def render(shards: int = SHARDS) -> str:
    """The accounts in nats-server's own format; passwords are variables, which another file sets."""
    lines = [
        f"# Written by `python -m contracts.permissions`, for up to {shards} shards: do not edit.",
        '# A secret beside it: one line `<user>_password: "..."` for each user.',
        "include ./passwords.conf",
        "accounts {",
        "  MEMLOG {",
        "    jetstream: enabled",
        "    users: [",
    ]
    for user, allowed in permissions(shards).items():
        lines += [
            "      {",
            f"        user: {json.dumps(user)}",
            f"        password: ${password_variable(user)}",
            "        permissions {",
            *_block("publish", allowed.publish, allowed.denied),
            *_block("subscribe", allowed.subscribe, ()),
            "          allow_responses: true",
            "        }",
            "      }",
        ]
    return "\n".join([*lines, "    ]", "  }", "}", ""])


def _block(what: str, allow: tuple[str, ...], deny: tuple[str, ...]) -> Iterator[str]:
    yield f"          {what} {{"
    for name, subjects_ in (("allow", allow), ("deny", deny)):
        if subjects_:
            yield f"            {name}: ["
            yield from (f"              {json.dumps(subject)}" for subject in dict.fromkeys(subjects_))
            yield "            ]"
    yield "          }"


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        prog="python -m contracts.permissions", description="Write the NATS accounts and their permissions."
    )
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT_PATH, help="default: %(default)s")
    parser.add_argument("--shards", type=int, default=SHARDS, help="most shards of the log (default: %(default)s)")
    options = parser.parse_args()
    options.file.write_text(render(options.shards), encoding="utf-8")


if __name__ == "__main__":
    main()

"""What each service has no business with, and a connection to NATS as one of them that tries it all the same."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import nats
from contracts.permissions import inbox_prefix, permissions
from nats.aio.client import Client
from support.composed import Composed

STREAMS = ("MEMLOG_EVENTS_0", "MEMLOG_COMMANDS_0", "MEMLOG_ACCESS_0", "MEMLOG_DEAD", "MEMLOG_KEYS", "MEMLOG_USERS")
DURABLES = {
    "memory-writer": ("MEMLOG_COMMANDS_0.memory-writer", "MEMLOG_EVENTS_0.extraction"),
    "categorizer": ("MEMLOG_EVENTS_0.categorizer",),
}
PUBLISHERS = {
    # Subject: who publishes to it. Nobody else may.
    "memlog.evt.0.u.memory.m": {"memory-writer"},
    "memlog.cmd.0.u.c": {"gateway", "memory-writer", "categorizer"},
    "memlog.access.0.u.a": {"gateway"},
    "memlog.key.u": {"gateway"},
    "memlog.user.h": {"gateway"},
    "memlog.dead.memory-writer.0.u.c": {"memory-writer"},
    "memlog.dead.index.0.u.memory.m": {"indexer"},
    "memlog.dead.read-models.0.u.memory.m": {"audit"},
    "memlog.dead.categorizer.0.u.memory.m": {"categorizer"},
    "memlog.position.index.0": {"indexer"},
    "memlog.position.read-models.0": {"audit"},
    "memlog.generation.index": {"indexer"},
    "memlog.generation.read-models": {"audit"},
    "memlog.ask.redrive.index.0": {"gateway"},
    "memlog.ask.verification": {"gateway"},
    "memlog.ask.connections": {"gateway"},
    "memlog.ask.due": {"memory-writer"},
    "$KV.MEMLOG_LEASES.memory-writer.0": {"memory-writer"},
    "$KV.MEMLOG_LEASES.index.0": {"indexer"},
    "$KV.MEMLOG_LEASES.verification": {"audit"},
}
LISTENERS = {
    "memlog.ask.search": {"indexer"},
    "memlog.ask.embed": {"indexer"},
    "memlog.ask.due": {"audit"},
    "memlog.ask.verification": {"audit"},
    "memlog.ask.connections": {"gateway"},
    "memlog.ask.health.gateway": {"gateway"},
    "memlog.ask.position.index.0": {"indexer"},
    "memlog.cmd.>": set[str](),
    "memlog.evt.>": set[str](),
    "memlog.access.>": set[str](),
    "memlog.key.>": set[str](),
    "$KV.>": set[str](),
    "_INBOX.>": set[str](),
    ">": set[str](),
}


def forbidden_to_all() -> list[str]:
    """What changes or removes what is stored, other than by appending."""
    of_streams = ("DELETE", "UPDATE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
    found = [f"$JS.API.STREAM.{verb}.{stream}" for verb in of_streams for stream in STREAMS if stream != "MEMLOG_DEAD"]
    found += [f"$JS.API.STREAM.{verb}.MEMLOG_DEAD" for verb in ("DELETE", "UPDATE", "SNAPSHOT", "RESTORE")]
    found += ["$JS.API.STREAM.DELETE.KV_MEMLOG_LEASES", "$JS.API.STREAM.PURGE.KV_MEMLOG_LEASES"]
    return [*found, "$JS.API.ACCOUNT.PURGE.MEMLOG", "$SYS.REQ.SERVER.PING"]


def forbidden(service: str) -> list[str]:
    found = forbidden_to_all()
    found += [subject for subject, may in PUBLISHERS.items() if service not in may]
    if service != "memory-writer":
        found += [f"$JS.API.STREAM.CREATE.{name}" for name in (*STREAMS, "ANOTHER")]
    else:
        found += ["$JS.API.STREAM.CREATE.ANOTHER"]
    for owner, durables in DURABLES.items():
        if owner != service:
            verbs = ("DELETE", "MSG.NEXT", "RESET", "DURABLE.CREATE", "CREATE", "PAUSE")
            found += [f"$JS.API.CONSUMER.{verb}.{durable}" for durable in durables for verb in verbs]
            found += [f"$JS.ACK.{durable}.1.1.1.1.0" for durable in durables]
    # In a consumer that is made without a name, the request could claim any.
    found += [f"$JS.API.CONSUMER.CREATE.{stream}" for stream in STREAMS]
    # Answers to others go to the others alone; the writer tells the gateway what became of commands.
    told = {"gateway"} if service == "memory-writer" else set[str]()
    found += [f"{inbox_prefix(other)}.x" for other in permissions() if other != service and other not in told]
    reads = {"gateway": "MEMLOG_ACCESS_0", "memory-writer": "MEMLOG_ACCESS_0", "indexer": "MEMLOG_COMMANDS_0"}
    reads |= {"categorizer": "MEMLOG_COMMANDS_0"}
    if service in reads:
        found += [f"$JS.API.{how}.{reads[service]}" for how in ("DIRECT.GET", "STREAM.MSG.GET")]
        found.append(f"$JS.API.CONSUMER.CREATE.{reads[service]}.mine")
    return found


@asynccontextmanager
async def connected(running: Composed, user: str) -> AsyncGenerator[tuple[Client, list[str]]]:
    """As this user, and what the server refused it, in lower case."""
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await nats.connect(  # pyright: ignore[reportUnknownMemberType]
        f"nats://127.0.0.1:{running.nats_port}",
        user=user,
        password=running.nats_password(user),
        inbox_prefix=inbox_prefix(user),
        error_cb=on_error,
    )
    try:
        yield client, refused
    finally:
        await client.close()

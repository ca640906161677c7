"""The streams of a log into a backup's file, while Memlog runs; and from it into a server again, compared with the
manifest.

The order in which the streams are copied is what makes the copies fit together (docs/adr/0015-backup.md).
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import nats.js.api
from contracts.errors import Unavailable
from contracts.positions import message_hash
from contracts.streams import (
    CATEGORIZER_CONSUMER,
    EXTRACTION_CONSUMER,
    GLOBAL,
    KEYS,
    USERS,
    WRITER_CONSUMER,
    access,
    commands,
    events,
)
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError
from runtime.errors import nats_errors
from runtime.event_store import EventStore
from runtime.snapshots import Snapshot, StreamState, restore, snapshot
from runtime.stream_reading import digest
from runtime.wrapped_keys import read_all, wrapped_by

from standalone.backup_file import (
    BackupReader,
    BackupWriter,
    ConsumerPosition,
    Content,
    KeysState,
    LastMessage,
    Manifest,
    PartWriter,
    StreamPart,
)
from standalone.failures import CheckFailed
from standalone.log_access import LogAccess, Server, opened_log

Show = Callable[[str, int], Callable[[int], object]]
"""Shows progress: what is being done and how much there is; returns what is told of each step."""
_EXPIRES_SOON = timedelta(hours=1)
"""What ages out within this is not compared."""
_CONSUMERS = (WRITER_CONSUMER, CATEGORIZER_CONSUMER, EXTRACTION_CONSUMER)


def streams_in_order(shards: int) -> list[str]:
    """What a backup holds, in the order in which it has to be copied. Data keys are never part of it."""
    of_shards = [kind(shard).name for kind in (events, commands, access) for shard in range(shards)]
    others = [spec.name for spec in GLOBAL if spec not in (KEYS, USERS)]
    return [*of_shards, *others, USERS.name]


def _may_shrink(config: Mapping[str, Any]) -> bool:
    """Whether messages of a stream go in the course of things: they age out, or are worked off."""
    return config["max_age"] > 0 or config["name"] in {spec.name for spec in GLOBAL if spec != USERS}


async def write_backup(log: LogAccess, writer: BackupWriter, show: Show) -> Manifest:
    """Copy the log into a backup's file. Raises `SnapshotFailed`, `Unavailable`, `OSError` of the file."""
    before = {name: found for name in streams_in_order(log.shards) if (found := await _state(log, name)) is not None}
    names = [*before]
    consumers = {name: await _positions(log, name) for name in names}
    advance = show("Copying", sum(state.bytes for state in before.values()))
    copied = [await _copy(log, writer.part(name), name, before[name].bytes, advance) for name in names]
    advance = show("Reading", sum(taken.state.messages for taken, _, _ in copied))
    parts = [
        StreamPart(
            stream=name,
            config=taken.config,
            state=taken.raw_state,
            size=part.size,
            sha256=sha256,
            members=part.members,
            last=await _last(log.events, name, taken.state.last),
            content=await _content(log.events, taken, advance),
            consumers=consumers[name],
        )
        for name, (taken, part, sha256) in zip(names, copied, strict=True)
    ]
    wrapped, last_key = await read_all(log.js, log.events)
    newest = next(reversed(wrapped.values()), None)
    manifest = Manifest(
        memlog=version("memlog-standalone"),
        server=str(log.client.connected_server_version),
        taken_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        shards=log.shards,
        incarnations=[identity.incarnation for identity in log.identities],
        streams=parts,
        keys=KeysState(
            count=len(wrapped), last_sequence=last_key, master=None if newest is None else wrapped_by(newest)
        ),
    )
    writer.finish(manifest)
    return manifest


async def _state(log: LogAccess, stream: str) -> nats.js.api.StreamState | None:
    """None for a stream that this log does not have: it was last served by an older Memlog."""
    with nats_errors(f"describe {stream}"):
        try:
            return (await log.js.stream_info(stream)).state
        except NotFoundError:
            return None


async def _positions(log: LogAccess, stream: str) -> list[ConsumerPosition]:
    found: list[ConsumerPosition] = []
    for name in _CONSUMERS:
        with nats_errors(f"describe the consumers of {stream}"):
            try:
                info = await log.js.consumer_info(stream, name)
            except NotFoundError:
                continue
        handled = 0 if info.ack_floor is None else info.ack_floor.stream_seq
        found.append(ConsumerPosition(name=name, config=info.config.as_dict(), handled=handled))
    return found


async def _copy(
    log: LogAccess, part: PartWriter, stream: str, expected: int, advance: Callable[[int], object]
) -> tuple[Snapshot, PartWriter, str]:
    async with snapshot(log.client, stream) as taken:
        async for chunk in taken.chunks:
            part.write(chunk)
            advance(min(len(chunk), expected))
            expected -= min(len(chunk), expected)
    advance(expected)  # it was compressed
    return taken, part, part.close()


async def _last(store: EventStore, stream: str, sequence: int) -> LastMessage | None:
    message = await store.message_at(stream, sequence) if sequence > 0 else None
    return None if message is None else LastMessage(sequence=sequence, sha256=message_hash(message.data))


async def _content(store: EventStore, taken: Snapshot, advance: Callable[[int], object]) -> Content | None:
    stream, state, age = taken.config["name"], taken.state, taken.config["max_age"]
    if age == 0 and _may_shrink(taken.config):
        return None
    # What ages out soon may be gone before it can be compared.
    since = datetime.now(UTC) - timedelta(microseconds=age // 1000) + _EXPIRES_SOON if age > 0 else None
    found = await digest(store, stream, state.first, state.last, since=since, advance=advance)
    if age == 0 and found.messages != state.messages:
        raise Unavailable(
            f"{stream} gave out {found.messages} of its {state.messages} messages: some were removed meanwhile (try "
            "again), or it is damaged (`memlog verify` tells)"
        )
    return Content(first=found.first, messages=found.messages, sha256=found.hexdigest())


async def restore_streams(server: Server, backup: BackupReader, show: Show, replicas: int | None = None) -> None:
    """Make every stream of a backup on a server that has none of them, and compare each with the manifest. What was
    made stays when this raises: `CheckFailed`, `SnapshotFailed`, `FileDamaged`, `Unavailable`.

    `replicas`: of each stream, instead of as many as it had.
    """
    parts = backup.manifest.streams
    advance = show("Writing", sum(part.size for part in parts))
    states = [await _restore(server, backup, part, advance, replicas) for part in parts]
    async with opened_log(server) as log:
        _compare("which log it is", [i.incarnation for i in log.identities], backup.manifest.incarnations)
        advance = show("Comparing", sum(part.content.messages for part in parts if part.content is not None))
        fresh = datetime.now(UTC) - datetime.fromisoformat(backup.manifest.taken_at) < _EXPIRES_SOON / 2
        for part, state in zip(parts, states, strict=True):
            await _verify(log.events, part, state, fresh, advance)
        for part in parts:
            for consumer in part.consumers:
                await _resume(log, part.stream, consumer)


async def _restore(
    server: Server, backup: BackupReader, part: StreamPart, advance: Callable[[int], object], replicas: int | None
) -> StreamState:
    async def chunks() -> AsyncGenerator[bytes]:
        for chunk in backup.chunks(part):
            yield chunk
            advance(len(chunk))

    config = part.config if replicas is None else {**part.config, "num_replicas": replicas}
    return await restore(server.client, config, part.state, chunks())


async def _verify(
    store: EventStore, part: StreamPart, state: StreamState, fresh: bool, advance: Callable[[int], object]
) -> None:
    """`fresh`: nothing of what was counted has aged out since the backup was made."""
    stream, should = part.stream, StreamState.of(part.state)
    _compare(f"the last sequence of {stream}", state.last, should.last)
    goes = _may_shrink(part.config)
    if not goes:
        if should.messages:
            _compare(f"the first sequence of {stream}", state.first, should.first)
        _compare(f"the number of messages of {stream}", state.messages, should.messages)
    if part.last is not None:
        last = await store.message_at(stream, part.last.sequence)
        if last is not None or not goes:
            found = None if last is None else message_hash(last.data)
            _compare(f"the hash of message {part.last.sequence} of {stream}", found, part.last.sha256)
    if part.content is not None and (fresh or not goes):
        found = await digest(store, stream, part.content.first, should.last, advance=advance)
        _compare(f"the content of {stream}", found.hexdigest(), part.content.sha256)


def _compare(what: str, is_: object, should: object) -> None:
    if is_ != should:
        raise CheckFailed(f"{what} is {is_}, and has to be {should}")


async def _resume(log: LogAccess, stream: str, position: ConsumerPosition) -> None:
    """Let a consumer go on where it was when the backup began: what came after is handled again."""
    config = ConsumerConfig.from_response(dict(position.config))
    with nats_errors(f"make the consumer {position.name}"):
        await log.js.add_consumer(stream, config)  # pyright: ignore[reportUnknownMemberType]
        if position.handled > 0:
            await log.js.reset_consumer(stream, position.name, seq=position.handled + 1)

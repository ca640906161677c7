"""What a command changes, and how it ended by the word of the log: whatever the read models show, or do not."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import assert_never

from contracts import ids, subjects
from contracts.api import ChangeKind, Item, Outcome
from contracts.codec import Undecodable, decode_event, read_envelope
from contracts.commands import (
    ActivateMemories,
    AddMemory,
    AnyCommand,
    ArchiveMemories,
    CategorizeMemory,
    ChangeDefaultAccess,
    ChangeSettings,
    DefineCategory,
    DeleteMemories,
    ForMemories,
    IssueToken,
    PauseApp,
    PauseMemories,
    ProcessText,
    RegisterApp,
    RegisterUser,
    RemoveAccessRule,
    RemoveArchivePolicy,
    RemoveCategory,
    ReprocessText,
    RestoreMemories,
    ResumeApp,
    ReviseMemory,
    RevokeToken,
    SetAccessRule,
    SetArchivePolicy,
)
from contracts.errors import ContentDamaged
from contracts.events import CommandSettled
from contracts.importing import ImportMemories, ImportPart
from contracts.positions import Position
from contracts.streams import events as events_stream
from contracts.subjects import Aggregate
from runtime.event_store import EventStore, StoredMessage
from runtime.keys import SealingKey


def touched(uid: str, key: SealingKey, command: AnyCommand, results: Sequence[Item]) -> list[Aggregate]:
    """What the command, which came to these results, is about."""
    match command:
        case AddMemory() | ReprocessText() | ProcessText():
            return [subjects.memory(uid, item.id) for item in results]
        case (
            DeleteMemories(memory_ids=memory_ids)
            | PauseMemories(memory_ids=memory_ids)
            | ArchiveMemories(memory_ids=memory_ids)
            | ActivateMemories(memory_ids=memory_ids)
            | RestoreMemories(memory_ids=memory_ids)
        ):
            return [subjects.memory(uid, memory_id) for memory_id in memory_ids]
        case ReviseMemory(memory_id=memory_id) | CategorizeMemory(memory_id=memory_id):
            return [subjects.memory(uid, memory_id)]
        case RegisterUser():
            return [subjects.user(uid)]
        case RegisterApp(name=name):
            return [subjects.app(uid, ids.app_id(key.identity, name))]
        case PauseApp(app_id=app_id) | ResumeApp(app_id=app_id):
            return [subjects.app(uid, app_id)]
        case DefineCategory(name=name):
            return [subjects.category(uid, ids.category_id(key.identity, name))]
        case RemoveCategory(category_id=category_id):
            return [subjects.category(uid, category_id)]
        case SetAccessRule(app_id=app_id, memory_id=memory_id, category=category):
            return [subjects.access_rule(uid, ids.rule_id(key.identity, app_id, memory_id, category))]
        case RemoveAccessRule(rule_id=rule_id):
            return [subjects.access_rule(uid, rule_id)]
        case ChangeDefaultAccess():
            return [subjects.default_access(uid)]
        case ChangeSettings():
            return [subjects.settings(uid)]
        case SetArchivePolicy(policy_id=policy_id) | RemoveArchivePolicy(policy_id=policy_id):
            return [subjects.archive_policy(uid, policy_id)]
        case IssueToken(token_id=token_id) | RevokeToken(token_id=token_id):
            return [subjects.token(uid, token_id)]
        case ImportMemories():
            return [subjects.memory(uid, item.id) for item in results]
        case ImportPart():
            return []
        case _:
            assert_never(command)


async def logged_outcome(
    log: EventStore, uid: str, key: SealingKey, command_id: str, command: AnyCommand
) -> Outcome | None:
    """How the command ended; None while the log does not say, or not readably. Raises `Unavailable`."""
    for message in await _history(log, subjects.operation(uid, command_id)):
        with contextlib.suppress(Undecodable, ContentDamaged):
            _, _, settled = decode_event(message.data, key)
            assert isinstance(settled, CommandSettled)
            return Outcome(
                command_id=command_id,
                status=settled.outcome,
                code=settled.code,
                reason=settled.reason,
                results=[Item(id=item.id, event=item.event) for item in settled.results],
                counts={**settled.counts},  # pyright: ignore[reportArgumentType]
                position=str(Position(subjects.shard_of(uid, log.shards), message.sequence)),
            )
    if isinstance(command, ForMemories):
        return None  # it always ends with `CommandSettled`
    async for aggregate, history in _candidates(log, key, uid, command):
        for message in history:
            if _completes(message, command_id):
                kind = _KINDS.get(type(command))
                results = [] if kind is None else [Item(id=aggregate.id, event=kind)]
                return Outcome(
                    command_id=command_id,
                    status="done",
                    results=results,
                    counts={} if kind is None else {kind: 1},
                    position=str(Position(subjects.shard_of(uid, log.shards), message.sequence)),
                )
    return None


def _completes(message: StoredMessage, command_id: str) -> bool:
    try:
        meta, _ = read_envelope(message.data)
    except Undecodable:
        return False
    return meta.final and meta.causation_id == command_id


_KINDS: dict[type[AnyCommand], ChangeKind] = {AddMemory: "ADD", ReviseMemory: "UPDATE", CategorizeMemory: "STATE"}
"""Of the commands that change one memory."""


async def _candidates(
    log: EventStore, key: SealingKey, uid: str, command: AnyCommand
) -> AsyncGenerator[tuple[Aggregate, list[StoredMessage]]]:
    if not isinstance(command, AddMemory):
        for aggregate in touched(uid, key, command, ()):
            yield aggregate, await _history(log, aggregate)
        return
    counter = 0
    while True:  # as the writer does: the first id that is free, or has this text already
        aggregate = subjects.memory(uid, ids.memory_id(key.identity, command.text, counter))
        history = await _history(log, aggregate)
        if not history:
            return
        yield aggregate, history
        counter += 1


async def _history(log: EventStore, aggregate: Aggregate) -> list[StoredMessage]:
    shard = subjects.shard_of(aggregate.uid, log.shards)
    return await log.read_subject(events_stream(shard).name, subjects.event_subject(shard, aggregate))

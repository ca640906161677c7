"""From a command to a plan: which aggregates it needs, what it appends, what to answer. Loading is the only I/O."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

from contracts import ids, subjects
from contracts.api import ChangeKind, Item
from contracts.codec import DataKey, Decoded
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
from contracts.errors import Conflict, MemlogError, NotFound
from contracts.events import AccessRuleSet, ArchivePolicySet
from contracts.importing import ImportMemories, ImportPart
from contracts.subjects import Aggregate
from runtime.decider import Decider

from memory_writer.aggregates import Aggregates
from memory_writer.domain import access, archive_policy
from memory_writer.domain.access import ACCESS
from memory_writer.domain.app import APP, Pause, Register, Resume, require_running
from memory_writer.domain.app import Unknown as UnknownApp
from memory_writer.domain.archive_policy import ARCHIVE_POLICY
from memory_writer.domain.category import CATEGORY, Define, Remove
from memory_writer.domain.memory import MEMORY, Absent, Active, Add, Categorize, Revise, same_text
from memory_writer.domain.settings import SETTINGS
from memory_writer.domain.token import TOKEN
from memory_writer.domain.user import USER
from memory_writer.importing import Parts, plan_import
from memory_writer.many import CHUNK, plan_many, size
from memory_writer.planning import Loader, Plan, appends, closed, counts, last_index, operation_of, refuse
from memory_writer.texts import plan_processed, plan_received


class Planner:
    """Plans commands against the aggregates as they are now."""

    def __init__(self, aggregates: Aggregates, parts: Parts) -> None:
        self._aggregates = aggregates
        self._parts = parts

    async def plan(self, command: Decoded[AnyCommand], key: DataKey) -> Plan:
        """The command's plan. Refusals are plans; raises only `Unavailable` and what is a defect."""
        loader = Loader(self._aggregates, key)
        try:
            plan = await self._decide(command, key, loader)
        except MemlogError as error:
            if error.status >= 500:
                raise
            return refuse(
                command.meta,
                operation_of(command.meta, command.payload),
                error,
                loader.touched,
                last_index(command.payload),
            )
        plan = replace(plan, touched=frozenset(loader.touched))
        return _settled(command, plan)

    async def plan_chunk(
        self, command: Decoded[AnyCommand], key: DataKey, done: int, totals: Mapping[ChangeKind, int]
    ) -> Plan:
        """The plan for the next memories of a large command, after `done` of them that came to `totals`. The last
        chunk's plan closes the command."""
        loader = Loader(self._aggregates, key)
        if done == 0 and command.meta.app != ids.OWN_APP:
            try:
                app = await loader.load(subjects.app(command.meta.uid, command.meta.app))
                require_running(app.state)
            except MemlogError as error:
                if error.status >= 500:
                    raise
                return refuse(command.meta, operation_of(command.meta, command.payload), error, loader.touched)
        total = size(command)
        end = min(done + CHUNK, total)
        if isinstance(command.payload, ImportMemories):
            try:
                plan = await plan_import(loader, self._parts, command, range(done, end), key)
            except Conflict as error:  # a part is not there
                return refuse(command.meta, operation_of(command.meta, command.payload), error, index=total)
        else:
            plan = await plan_many(loader, command, range(done, end))
        if end < total:
            return replace(plan, partial=True)
        sums = Counter(totals) + Counter(counts(plan.items))
        changed = any(count for kind, count in sums.items() if kind != "NONE")
        summary = replace(plan, items=(), counts=dict(sums), status="done" if changed else "nothing")
        return closed(command.meta, operation_of(command.meta, command.payload), summary, total)

    async def warm(self, command: Decoded[AnyCommand], key: DataKey) -> None:
        """Load what the command will surely need, so that a batch's loads run in parallel."""
        await asyncio.gather(*(self._aggregates.load(a, key) for a in _first_aggregates(command, key)))

    async def _decide(self, command: Decoded[AnyCommand], key: DataKey, loader: "Loader") -> Plan:
        uid, command_id = command.meta.uid, command.meta.id
        payload = command.payload
        if _needs_running_app(command):
            require_running((await loader.load(subjects.app(uid, command.meta.app))).state)
        match payload:
            case AddMemory(infer=False):
                return await self._add(loader, uid, payload, key, command_id)
            case AddMemory() | ReprocessText():
                return await plan_received(loader, command)
            case ProcessText():
                return await plan_processed(loader, command, key)
            case ReviseMemory():
                return await self._revise(loader, uid, payload, command_id)
            case DeleteMemories() | PauseMemories() | ArchiveMemories() | ActivateMemories() | RestoreMemories():
                return await plan_many(loader, command, range(len(payload.memory_ids)))
            case CategorizeMemory():
                aggregate = subjects.memory(uid, payload.memory_id)
                item = Item(id=payload.memory_id, event="STATE")
                return await self._single(loader, aggregate, MEMORY, Categorize(payload), command_id, (item,))
            case RegisterUser():
                return await self._single(loader, subjects.user(uid), USER, payload, command_id)
            case RegisterApp(name=name):
                app_id = ids.app_id(key.identity, name)
                return await self._single(loader, subjects.app(uid, app_id), APP, Register(app_id, name), command_id)
            case PauseApp(app_id=app_id):
                return await self._single(loader, subjects.app(uid, app_id), APP, Pause(app_id), command_id)
            case ResumeApp(app_id=app_id):
                return await self._single(loader, subjects.app(uid, app_id), APP, Resume(app_id), command_id)
            case DefineCategory(name=name, description=description):
                category = ids.category_id(key.identity, name)
                define = Define(category, name, description)
                return await self._single(loader, subjects.category(uid, category), CATEGORY, define, command_id)
            case RemoveCategory(category_id=category):
                remove = Remove(category)
                return await self._single(loader, subjects.category(uid, category), CATEGORY, remove, command_id)
            case SetAccessRule():
                rule = await self._rule(loader, uid, payload, key)
                aggregate = subjects.access_rule(uid, rule.rule_id)
                return await self._single(loader, aggregate, ACCESS, access.Set(rule), command_id)
            case RemoveAccessRule(rule_id=rule_id):
                aggregate = subjects.access_rule(uid, rule_id)
                return await self._single(loader, aggregate, ACCESS, access.Remove(rule_id), command_id)
            case ChangeDefaultAccess(policy=policy):
                change = access.ChangeDefault(policy)
                return await self._single(loader, subjects.default_access(uid), ACCESS, change, command_id)
            case ChangeSettings():
                return await self._single(loader, subjects.settings(uid), SETTINGS, payload, command_id)
            case SetArchivePolicy(policy_id=policy_id):
                policy = archive_policy.Set(ArchivePolicySet(**payload.model_dump()))
                aggregate = subjects.archive_policy(uid, policy_id)
                return await self._single(loader, aggregate, ARCHIVE_POLICY, policy, command_id)
            case RemoveArchivePolicy(policy_id=policy_id):
                aggregate = subjects.archive_policy(uid, policy_id)
                return await self._single(
                    loader, aggregate, ARCHIVE_POLICY, archive_policy.Remove(policy_id), command_id
                )
            case IssueToken(token_id=token_id) | RevokeToken(token_id=token_id):
                return await self._single(loader, subjects.token(uid, token_id), TOKEN, payload, command_id)
            case ImportPart():
                return Plan(frozenset(), status="nothing")
            case ImportMemories():
                raise AssertionError("an import is planned in chunks")
            case _:
                assert_never(payload)

    async def _single(
        self,
        loader: "Loader",
        aggregate: Aggregate,
        decider: Decider[Any, Any, Any],
        decision: object,
        command_id: str,
        items: tuple[Item, ...] = (),
    ) -> Plan:
        loaded = await loader.load(aggregate)
        if command_id in loaded.by_command:
            return Plan(frozenset(), items=items, position=loaded.by_command[command_id])
        events = decider.decide(loaded.state, decision)
        if not events:
            return Plan(frozenset(), status="nothing")
        return Plan(frozenset(), appends(aggregate, events, loaded), items)

    async def _rule(self, loader: "Loader", uid: str, request: SetAccessRule, key: DataKey) -> AccessRuleSet:
        """The rule, about an app that is known, and a memory that was once there. Raises `NotFound`."""
        if isinstance((await loader.load(subjects.app(uid, request.app_id))).state, UnknownApp):
            raise NotFound(f"app {request.app_id} was not found")
        memory_id = request.memory_id
        if memory_id is not None and isinstance((await loader.load(subjects.memory(uid, memory_id))).state, Absent):
            raise NotFound(f"memory {memory_id} was not found")
        rule_id = ids.rule_id(key.identity, request.app_id, memory_id, request.category)
        return AccessRuleSet(rule_id=rule_id, **request.model_dump())

    async def _add(self, loader: "Loader", uid: str, request: AddMemory, key: DataKey, command_id: str) -> Plan:
        counter = 0
        while True:
            memory_id = ids.memory_id(key.identity, request.text, counter)
            aggregate = subjects.memory(uid, memory_id)
            loaded = await loader.load(aggregate)
            added = Item(id=memory_id, memory=request.text, event="ADD")
            if command_id in loaded.by_command:
                return Plan(frozenset(), items=(added,), position=loaded.by_command[command_id])
            match loaded.state:
                case Absent():
                    events = MEMORY.decide(loaded.state, Add(memory_id, request))
                    return Plan(frozenset(), appends(aggregate, events, loaded), (added,))
                case Active(text=text) if same_text(text, request.text):
                    return Plan(frozenset(), items=(Item(id=memory_id, memory=text, event="NONE"),), status="nothing")
                case _:  # the id is taken by a memory that was revised or deleted
                    counter += 1

    async def _revise(self, loader: "Loader", uid: str, request: ReviseMemory, command_id: str) -> Plan:
        aggregate = subjects.memory(uid, request.memory_id)
        loaded = await loader.load(aggregate)
        updated = Item(id=request.memory_id, memory=request.text, event="UPDATE")
        if command_id in loaded.by_command:
            return Plan(frozenset(), items=(updated,), position=loaded.by_command[command_id])
        events = MEMORY.decide(loaded.state, Revise(request))
        if not events:
            same = Item(id=request.memory_id, memory=request.text, event="NONE")
            return Plan(frozenset(), items=(same,), status="nothing")
        updated = updated.model_copy(update={"previous_memory": loaded.state.text})
        return Plan(frozenset(), appends(aggregate, events, loaded), (updated,))


def _settled(command: Decoded[AnyCommand], plan: Plan) -> Plan:
    """Every operation ends in the log: a single event ends its command by itself; none or several need
    `CommandSettled` behind them."""
    payload = command.payload
    if plan.partial or isinstance(payload, ProcessText):  # its end is not here, or it is closed already
        return plan
    if plan.position is not None or (len(plan.appends) == 1 and not isinstance(payload, ForMemories)):
        return plan
    return closed(command.meta, operation_of(command.meta, payload), plan, last_index(command.payload))


def _needs_running_app(command: Decoded[AnyCommand]) -> bool:
    """Whether the command writes in the name of its app. Memlog's own parts have none."""
    if command.meta.app == ids.OWN_APP:
        return False
    match command.payload:
        case AddMemory() | ReviseMemory() | ForMemories():
            return True
        case CategorizeMemory(by=by):
            return by == "person"
        case _:
            return False


def _first_aggregates(command: Decoded[AnyCommand], key: DataKey) -> list[Aggregate]:
    uid, payload = command.meta.uid, command.payload
    app = [subjects.app(uid, command.meta.app)] if _needs_running_app(command) else []
    match payload:
        case AddMemory(infer=True):
            return [*app, subjects.source(uid, command.meta.id)]
        case ReprocessText(source_id=source_id):
            return [*app, subjects.source(uid, source_id)]
        case ProcessText(source_id=source_id, decisions=decisions):
            named = {decision.memory_id for decision in decisions if decision.memory_id is not None}
            return [subjects.source(uid, source_id), *(subjects.memory(uid, memory_id) for memory_id in named)]
        case AddMemory(text=text):
            return [*app, subjects.memory(uid, ids.memory_id(key.identity, text, 0))]
        case ReviseMemory(memory_id=memory_id) | CategorizeMemory(memory_id=memory_id):
            return [*app, subjects.memory(uid, memory_id)]
        case _:
            return app

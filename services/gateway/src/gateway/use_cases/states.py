"""Changes of state by the owner: pause, archive, resume, restore."""

from typing import Literal, assert_never

from contracts.api import StateChanged
from contracts.commands import (
    ActivateMemories,
    ArchiveMemories,
    PauseMemories,
    RestoreMemories,
)
from contracts.errors import NotFound
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, postgres_errors

from gateway.asking import Caller, Everything, InCategories, OfApp, Selection, These
from gateway.use_cases import sql
from gateway.use_cases.categories import keys_of
from gateway.use_cases.commanding import Commanding, Principal, Sent
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.many import ForMany, require_few, send_for_many

_State = Literal["active", "paused", "archived"]
_COMMANDS: dict[_State, type[ActivateMemories | PauseMemories | ArchiveMemories]] = {
    "active": ActivateMemories,
    "paused": PauseMemories,
    "archived": ArchiveMemories,
}
_FROM: dict[_State, list[str]] = {"active": ["paused"], "paused": ["active"], "archived": ["active", "paused"]}
"""Which memories of an app, of a category or of all a change is for: what is put away stays there until it is named."""


class States:
    """The part of `gateway.service.MemoryService` that changes states."""

    def __init__(self, identities: Identities, commanding: Commanding, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._freshness = freshness

    async def set_state(self, caller: Caller, selection: Selection, state: _State) -> StateChanged:
        if isinstance(selection, These):
            require_few(selection.memory_ids)
        principal = await self._identities.owner(caller)
        kind = _COMMANDS[state]
        if isinstance(selection, These):
            command = kind(memory_ids=selection.memory_ids, all_or_nothing=True)
            return _changed(await self._commanding.send(principal, command))
        self._freshness.require(principal.uid, (READ_MODELS,))
        memory_ids = await self._selected(principal, selection, state)
        if not memory_ids:
            return StateChanged(changed=0)

        def change(part: tuple[str, ...]) -> ForMany:
            return kind(memory_ids=part)

        return _changed(await send_for_many(self._commanding, principal, change, memory_ids))

    async def restore(self, caller: Caller, memory_ids: tuple[str, ...]) -> StateChanged:
        require_few(memory_ids)
        principal = await self._identities.owner(caller)
        command = RestoreMemories(memory_ids=memory_ids, all_or_nothing=True)
        return _changed(await self._commanding.send(principal, command))

    async def _selected(
        self, principal: Principal, selection: InCategories | OfApp | Everything, state: _State
    ) -> list[str]:
        app_id: str | None = None
        categories: tuple[str, ...] | None = None
        match selection:
            case OfApp(app_id=app_id):
                with postgres_errors():
                    known = await self._pool.fetchrow(sql.PRINCIPAL, principal.uid, app_id)
                if known is None:
                    raise NotFound(f"app {app_id} was not found")
            case InCategories(category_ids=category_ids):
                categories = await keys_of(self._pool, principal, category_ids)
            case Everything():
                pass
            case _:
                assert_never(selection)
        with postgres_errors():
            rows = await self._pool.fetch(sql.SELECTED, principal.uid, _FROM[state], app_id, categories)
        return [row["memory_id"] for row in rows]


def _changed(sent: Sent) -> StateChanged:
    changed = sent.counts.get("STATE", 0)
    return StateChanged(changed=changed, operation_id=sent.command_id, state=sent.state, reason=sent.reason)

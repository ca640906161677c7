"""Who may read what: the asking app with its rules, the rules themselves, and what they come to."""

import math

from contracts.access import Asking, Effect, Policy, Rule
from contracts.api import AccessRule, AccessRulePage, DefaultAccess, Page
from contracts.commands import ChangeDefaultAccess, RemoveAccessRule, SetAccessRule
from contracts.errors import Conflict, NotFound, Unavailable
from contracts.ids import normalize_text, rule_id
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import OWNER_APP, Caller
from gateway.use_cases import sql
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.commanding import Commanding, Principal
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.paging import fetch_page
from gateway.use_cases.views import epoch, memory_view


async def asking(pool: Pool, uid: str, app_id: str) -> Asking:
    """The user's app with its rules; one that is unknown is not running. Raises `Unavailable`."""
    with postgres_errors():
        rows = await pool.fetch(sql.ASKING, uid, app_id)
    if not rows:
        return Asking(app_id, running=False, owner=False, rules=(), default="own")
    return Asking(
        app_id,
        running=rows[0]["is_active"],
        owner=rows[0]["name"] == OWNER_APP,
        rules=tuple(
            Rule(row["effect"], row["memory_id"], row["category_key"]) for row in rows if row["effect"] is not None
        ),
        default=rows[0]["policy"],
    )


async def withheld(pool: Pool, principal: Principal, memory_ids: tuple[str, ...]) -> set[str]:
    """Those of the memories that no rule and no default lets the principal's app read: to it, they are not there.
    Raises `Unavailable`."""
    with postgres_errors():
        rows = await pool.fetch(sql.WITHHELD, principal.uid, principal.app_id, memory_ids)
    return {row["memory_id"] for row in rows}


class AccessRules:
    """The part of `gateway.service.MemoryService` that is about access rules."""

    def __init__(
        self, identities: Identities, commanding: Commanding, pool: Pool, trail: AuditTrail, freshness: Freshness
    ) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._trail = trail
        self._freshness = freshness

    async def access_rules(self, caller: Caller, app_id: str | None, *, page: int, size: int) -> AccessRulePage:
        principal = await self._reader(caller)
        where = (principal.uid, app_id)
        total, rows = await fetch_page(self._pool, sql.COUNT_RULES, sql.RULES, where, page=page, size=size)
        items = [_rule_view(row) for row in rows]
        return AccessRulePage(items=items, total=total, page=page, size=size, pages=math.ceil(total / size))

    async def set_access_rule(
        self, caller: Caller, app_id: str, effect: Effect, *, memory_id: str | None, category: str | None
    ) -> AccessRule:
        principal = await self._reader(caller)
        if (await self._app(principal, app_id)) == OWNER_APP:
            raise Conflict(f"'{OWNER_APP}' is the owner's own app: no rule binds it")
        name = None if category is None else normalize_text(category)
        await self._send(principal, SetAccessRule(app_id=app_id, effect=effect, memory_id=memory_id, category=name))
        id_ = rule_id(principal.key.identity, app_id, memory_id, name)
        with postgres_errors():
            row = await self._pool.fetchrow(sql.ONE_RULE, principal.uid, id_)
        if row is None:
            raise NotFound(f"access rule {id_} was removed meanwhile")
        return _rule_view(row)

    async def remove_access_rule(self, caller: Caller, rule_id: str) -> None:
        await self._send(await self._identities.owner(caller), RemoveAccessRule(rule_id=rule_id))

    async def default_access(self, caller: Caller) -> DefaultAccess:
        principal = await self._reader(caller)
        with postgres_errors():
            policy: Policy | None = await self._pool.fetchval(sql.DEFAULT_ACCESS, principal.uid)
        return DefaultAccess(policy=policy or "allow")

    async def change_default_access(self, caller: Caller, policy: Policy) -> DefaultAccess:
        await self._send(await self._identities.owner(caller), ChangeDefaultAccess(policy=policy))
        return await self.default_access(caller)

    async def readable(self, caller: Caller, app_id: str, *, page: int, size: int) -> Page:
        principal = await self._reader(caller)
        await self._app(principal, app_id)
        where = (principal.uid, app_id)
        total, rows = await fetch_page(self._pool, sql.COUNT_READABLE, sql.READABLE, where, page=page, size=size)
        await self._trail.record(principal, "list", [(row["memory_id"], None) for row in rows])
        items = [memory_view(row) for row in rows]
        return Page(items=items, total=total, page=page, size=size, pages=math.ceil(total / size))

    async def _reader(self, caller: Caller) -> Principal:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        return principal

    async def _app(self, principal: Principal, app_id: str) -> str:
        """The app's name. Raises `NotFound`."""
        with postgres_errors():
            row = await self._pool.fetchrow(sql.PRINCIPAL, principal.uid, app_id)
        if row is None:
            raise NotFound(f"app {app_id} was not found")
        return row["name"]

    async def _send(
        self, principal: Principal, command: SetAccessRule | RemoveAccessRule | ChangeDefaultAccess
    ) -> None:
        """Returns once every later read obeys it."""
        sent = await self._commanding.send(principal, command, projections=(READ_MODELS,))
        if sent.state != "searchable":
            raise Unavailable(
                f"the change is accepted (operation {sent.command_id}) but the read models do not show it: "
                f"{sent.reason or 'ask for the access rules again before relying on it'}"
            )


def _rule_view(row: Row) -> AccessRule:
    return AccessRule(
        id=row["rule_id"],
        app_id=row["app_id"],
        app_name=row["app_name"],
        effect=row["effect"],
        memory_id=row["memory_id"],
        category=row["category"],
        updated_at=epoch(row["updated_at"]),
    )

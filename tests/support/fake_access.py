"""The fake service's access rules: kept, listed, and obeyed by nobody."""

import uuid
from dataclasses import dataclass, field

from contracts.access import Effect, Policy
from contracts.api import AccessRule, AccessRulePage, DefaultAccess, Page
from contracts.errors import NotFound
from gateway.service import Caller


@dataclass
class FakeAccess:
    """`asked` are the callers, and what they asked for besides."""

    rules: dict[str, AccessRule] = field(default_factory=dict[str, AccessRule])
    policy: Policy = "allow"
    asked: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])

    async def access_rules(self, caller: Caller, app_id: str | None, *, page: int, size: int) -> AccessRulePage:
        self.asked.append((caller, app_id, page, size))
        found = [rule for rule in self.rules.values() if app_id in (None, rule.app_id)]
        return AccessRulePage(items=found, total=len(found), page=page, size=size, pages=-(-len(found) // size))

    async def set_access_rule(
        self, caller: Caller, app_id: str, effect: Effect, *, memory_id: str | None, category: str | None
    ) -> AccessRule:
        self.asked.append((caller, app_id, effect, memory_id, category))
        id_ = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{app_id} {memory_id} {category}"))
        self.rules[id_] = AccessRule(
            id=id_, app_id=app_id, app_name="cursor", effect=effect, memory_id=memory_id, category=category,
            updated_at=1,
        )  # fmt: skip
        return self.rules[id_]

    async def remove_access_rule(self, caller: Caller, rule_id: str) -> None:
        self.asked.append((caller, rule_id))
        if self.rules.pop(rule_id, None) is None:
            raise NotFound(f"access rule {rule_id} was not found")

    async def default_access(self, caller: Caller) -> DefaultAccess:
        self.asked.append((caller,))
        return DefaultAccess(policy=self.policy)

    async def change_default_access(self, caller: Caller, policy: Policy) -> DefaultAccess:
        self.policy = policy
        return await self.default_access(caller)

    async def readable(self, caller: Caller, app_id: str, *, page: int, size: int) -> Page:
        self.asked.append((caller, app_id, page, size))
        return Page(items=[], total=0, page=page, size=size, pages=0)

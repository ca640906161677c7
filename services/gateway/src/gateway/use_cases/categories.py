"""Categories: which there are, the user's own, and a person's choice for a memory."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from contracts import ids
from contracts.api import Category, CategoryList, OperationResult
from contracts.categories import SEED_CATEGORIES, category_keys
from contracts.commands import CategorizeMemory, DefineCategory, RemoveCategory
from contracts.errors import Conflict, NotFound, Unavailable
from contracts.streams import READ_MODELS
from runtime.postgres import Pool, Row, postgres_errors

from gateway.asking import Caller
from gateway.use_cases import sql
from gateway.use_cases.commanding import Commanding, Principal, Sent
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.time_travel import at
from gateway.use_cases.views import epoch, operation_result


class Categories:
    """The part of `gateway.service.MemoryService` that is about categories."""

    def __init__(self, identities: Identities, commanding: Commanding, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._freshness = freshness

    async def categories(self, caller: Caller) -> CategoryList:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        found = await self._all(principal)
        return CategoryList(categories=found, total=len(found))

    async def define_category(self, caller: Caller, name: str, description: str) -> Category:
        principal = await self._identities.owner(caller)
        command = DefineCategory(name=ids.normalize_text(name), description=description.strip())
        _require_shown(await self._commanding.send(principal, command, projections=(READ_MODELS,)))
        return await self._one(principal, ids.category_id(principal.key.identity, name))

    async def remove_category(self, caller: Caller, category_id: str) -> Category:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        found = await self._one(principal, category_id)
        if not found.own:
            raise Conflict(
                f"'{found.name}' is not a category of your own: it comes with Memlog, or memories have it. "
                "Give those memories other categories instead"
            )
        _require_shown(
            await self._commanding.send(principal, RemoveCategory(category_id=category_id), projections=(READ_MODELS,))
        )
        return found

    async def categorize(self, caller: Caller, memory_id: str, categories: tuple[str, ...]) -> OperationResult:
        principal = await self._identities.owner(caller)
        command = CategorizeMemory(memory_id=memory_id, categories=categories, by="person")
        sent = await self._commanding.send(principal, command)
        return operation_result(sent)

    async def _one(self, principal: Principal, category_id: str) -> Category:
        for category in await self._all(principal):
            if category.id == category_id:
                return category
        raise NotFound(f"category {category_id} was not found")

    async def _all(self, principal: Principal) -> list[Category]:
        with postgres_errors():
            own = await self._pool.fetch(sql.OWN_CATEGORIES, principal.uid)
            used = await self._pool.fetch(sql.USED_CATEGORIES, principal.uid)
            since = await self._pool.fetchval(sql.USER_SINCE, principal.uid)
        return _merged(principal, own, used, since)


async def keys_of(
    pool: Pool, principal: Principal, category_ids: Iterable[str], sequence: int | None = None
) -> tuple[str, ...]:
    """What the names of these categories are compared by. An id that no category of the user has, nor any memory (as of
    `sequence`), stands for none."""
    wanted = set(category_ids)
    names = [name for name, _ in SEED_CATEGORIES]
    with postgres_errors():
        names += [row["name"] for row in await pool.fetch(sql.OWN_CATEGORIES, principal.uid)]
        known = {ids.category_id(principal.key.identity, name): name for name in names}
        if not wanted <= known.keys():  # others are known by the memories that have them alone, which takes longer
            used = await pool.fetch(at(sql.USED_CATEGORIES, sequence), principal.uid)
            known |= {ids.category_id(principal.key.identity, row["name"]): row["name"] for row in used}
    return category_keys(known[id_] for id_ in wanted if id_ in known)


def _merged(principal: Principal, own: Sequence[Row], used: Sequence[Row], since: datetime) -> list[Category]:
    """Seeds, then the user's own, then what else memories have. A name in several spellings is one category."""
    found: dict[str, Category] = {}
    for name, description in SEED_CATEGORIES:
        id_ = ids.category_id(principal.key.identity, name)
        at = epoch(since)
        found[id_] = Category(
            id=id_, name=name, description=description, created_at=at, updated_at=at, own=False, memories=0
        )
    for row in own:
        found[row["category_id"]] = Category(
            id=row["category_id"],
            name=row["name"],
            description=row["description"],
            created_at=epoch(row["defined_at"]),
            updated_at=epoch(row["updated_at"]),
            own=True,
            memories=0,
        )
    for row in used:
        id_ = ids.category_id(principal.key.identity, row["name"])
        first, last, memories = epoch(row["first_at"]), epoch(row["last_at"]), row["memories"]
        known = found.get(id_) or Category(
            id=id_, name=row["name"], description="", created_at=first, updated_at=last, own=False, memories=0
        )
        found[id_] = known.model_copy(update={"memories": known.memories + memories})
    return list(found.values())


def _require_shown(sent: Sent) -> None:
    if sent.state != "searchable":
        raise Unavailable(
            f"the change is accepted (operation {sent.command_id}) but the read models do not show it: "
            f"{sent.reason or 'ask for the categories again before relying on it'}"
        )

"""Which memories an app may read (architecture §5). `may_read` is the decision; what asks for many memories at once
says the same in its own terms: SQL in `gateway.use_cases.sql`, a filter in the index. A property test compares the
three.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Effect = Literal["allow", "deny"]
Policy = Literal["allow", "own"]
"""What holds where no rule speaks: everything, or what the app wrote itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the asking app, about one memory, one category (by its key: `categories.category_key`), or neither:
    everything."""

    effect: Effect
    memory_id: str | None = None
    category_key: str | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """The app that asks. `running`: it is known and not paused. `owner`: it is the person's own, which no rule and no
    default binds."""

    app_id: str
    running: bool
    owner: bool
    rules: tuple[Rule, ...]
    default: Policy


@dataclass(frozen=True, slots=True)
class Readable:
    """A memory, as far as it decides who may read it."""

    memory_id: str
    app_id: str
    state: str
    category_keys: tuple[str, ...]


def may_read(asking: Asking, memory: Readable) -> bool:
    """Whether the app may read the memory. The rules about the memory decide; without any, those about one of its
    categories; without any, those about everything; without any, the default. Among rules that decide, one that denies
    is enough, so their order never matters. What is not known is refused."""
    if memory.state != "active" or not asking.running:
        return False
    if asking.owner:
        return True
    of_memory = [rule for rule in asking.rules if rule.memory_id == memory.memory_id]
    of_category = [rule for rule in asking.rules if rule.category_key in memory.category_keys]
    of_everything = [rule for rule in asking.rules if rule.memory_id is None and rule.category_key is None]
    for rules in (of_memory, of_category, of_everything):
        if rules:
            return all(rule.effect == "allow" for rule in rules)
    return asking.default == "allow" or (asking.default == "own" and memory.app_id == asking.app_id)


@dataclass(frozen=True, slots=True)
class Access:
    """What a running app may read of the active memories, for a filter: one that is none of `denied_memories`, and is
    one of `allowed_memories`, or has none of `denied_categories` and either has one of `allowed_categories` or is
    within `base`: `all`, what the app `app_id` wrote (`own`), or `none`."""

    app_id: str
    base: Literal["all", "own", "none"]
    allowed_memories: tuple[str, ...]
    denied_memories: tuple[str, ...]
    allowed_categories: tuple[str, ...]
    denied_categories: tuple[str, ...]


def access_of(asking: Asking) -> Access | None:
    """The decisions of `may_read` about all active memories at once; None when it is no to each."""
    if not asking.running:
        return None
    if asking.owner:
        return Access(asking.app_id, "all", (), (), (), ())
    everything = {rule.effect for rule in asking.rules if rule.memory_id is None and rule.category_key is None}
    if everything:
        base = "all" if everything == {"allow"} else "none"
    else:
        base = "all" if asking.default == "allow" else "own" if asking.default == "own" else "none"
    allowed = [rule for rule in asking.rules if rule.effect == "allow"]
    denied = [rule for rule in asking.rules if rule.effect != "allow"]
    return Access(
        app_id=asking.app_id,
        base=base,
        allowed_memories=_each(rule.memory_id for rule in allowed),
        denied_memories=_each(rule.memory_id for rule in denied),
        allowed_categories=_each(rule.category_key for rule in allowed),
        denied_categories=_each(rule.category_key for rule in denied),
    )


def _each(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))

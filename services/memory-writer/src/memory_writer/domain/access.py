"""Who may read what: the rules of a user's apps, each an aggregate, and the default beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from contracts.errors import NotFound
from contracts.events import AccessRuleRemoved, AccessRuleSet, DefaultAccessChanged
from runtime.decider import Decider

# Events (a storage format)

AccessEvent = AccessRuleSet | AccessRuleRemoved | DefaultAccessChanged

# Fold


@dataclass(frozen=True, slots=True)
class Unset:
    """There is no such rule, or nobody changed the default."""


Access = Unset | AccessRuleSet | DefaultAccessChanged
"""What was set last is all that a rule, or the default, is."""


def evolve(state: Access, event: AccessEvent) -> Access:
    return Unset() if isinstance(event, AccessRuleRemoved) else event


# Decisions


@dataclass(frozen=True, slots=True)
class Set:
    """`rule.rule_id` is derived from what the rule is about (contracts.ids.rule_id)."""

    rule: AccessRuleSet


@dataclass(frozen=True, slots=True)
class Remove:
    rule_id: str


@dataclass(frozen=True, slots=True)
class ChangeDefault:
    policy: Literal["allow", "own"]


AccessCommand = Set | Remove | ChangeDefault


def decide(state: Access, command: AccessCommand) -> Sequence[AccessEvent]:
    """The events that follow; empty when it is so already. Raises `NotFound` for removing what is not there."""
    match command:
        case Set(rule):
            return () if state == rule else (rule,)
        case Remove(rule_id):
            if not isinstance(state, AccessRuleSet):
                raise NotFound(f"access rule {rule_id} was not found")
            return (AccessRuleRemoved(rule_id=rule_id),)
        case ChangeDefault(policy):
            # Nobody changed it: then it is `allow`, as OpenMemory's.
            now = state.policy if isinstance(state, DefaultAccessChanged) else "allow"
            return () if now == policy else (DefaultAccessChanged(policy=policy),)
        case _:
            assert_never(command)


ACCESS: Decider[AccessCommand, AccessEvent, Access] = Decider(decide, evolve, Unset())

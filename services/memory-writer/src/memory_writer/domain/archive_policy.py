"""The archive policy aggregate: what is put away when nobody changed it for long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.errors import NotFound
from contracts.events import ArchivePolicyRemoved, ArchivePolicySet
from runtime.decider import Decider

# Events (a storage format)

PolicyEvent = ArchivePolicySet | ArchivePolicyRemoved

# Fold


@dataclass(frozen=True, slots=True)
class Unset:
    """The user has no such policy."""


Policy = Unset | ArchivePolicySet
"""What was set last is all that a policy is."""


def evolve(state: Policy, event: PolicyEvent) -> Policy:
    return Unset() if isinstance(event, ArchivePolicyRemoved) else event


# Decisions


@dataclass(frozen=True, slots=True)
class Set:
    policy: ArchivePolicySet


@dataclass(frozen=True, slots=True)
class Remove:
    policy_id: str


PolicyCommand = Set | Remove


def decide(state: Policy, command: PolicyCommand) -> Sequence[PolicyEvent]:
    """The events that follow; empty when it is so already. Raises `NotFound` for removing what is not there."""
    match command:
        case Set(policy):
            return () if state == policy else (policy,)
        case Remove(policy_id):
            if isinstance(state, Unset):
                raise NotFound(f"archive policy {policy_id} was not found")
            return (ArchivePolicyRemoved(policy_id=policy_id),)
        case _:
            assert_never(command)


ARCHIVE_POLICY: Decider[PolicyCommand, PolicyEvent, Policy] = Decider(decide, evolve, Unset())

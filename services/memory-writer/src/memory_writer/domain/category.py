"""The category aggregate: a category that the user defined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from contracts.errors import NotFound
from contracts.events import CategoryDefined, CategoryRemoved
from runtime.decider import Decider

# Events (a storage format)

CategoryEvent = CategoryDefined | CategoryRemoved

# Fold


@dataclass(frozen=True, slots=True)
class Undefined:
    """The user has no such category."""


@dataclass(frozen=True, slots=True)
class Defined:
    name: str
    description: str


Category = Undefined | Defined


def evolve(state: Category, event: CategoryEvent) -> Category:
    match event:
        case CategoryDefined():
            return Defined(event.name, event.description)
        case CategoryRemoved():
            return Undefined()
        case _:
            assert_never(event)


# Decisions


@dataclass(frozen=True, slots=True)
class Define:
    category_id: str
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Remove:
    category_id: str


CategoryCommand = Define | Remove


def decide(state: Category, command: CategoryCommand) -> Sequence[CategoryEvent]:
    """The events that follow; empty when it is so already. Raises `NotFound` for removing what is not there."""
    match command:
        case Define(category_id, name, description):
            if state == Defined(name, description):
                return ()
            return (CategoryDefined(category_id=category_id, name=name, description=description),)
        case Remove(category_id):
            if isinstance(state, Undefined):
                raise NotFound(f"category {category_id} was not found")
            return (CategoryRemoved(category_id=category_id),)
        case _:
            assert_never(command)


CATEGORY: Decider[CategoryCommand, CategoryEvent, Category] = Decider(decide, evolve, Undefined())

"""What shows all that a person has is the owner's to read: an app is turned away before anything is asked for."""

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any, cast

import pytest
from contracts.errors import Forbidden
from gateway.service import AppQuery, Caller, EventFilter, ListQuery
from gateway.use_cases.access import AccessRules
from gateway.use_cases.identity import Identities
from gateway.use_cases.log_reading import LogReading
from gateway.use_cases.reading import Reading

NOTHING = cast("Any", None)
"""What is not reached."""
APP = Caller("ada", "cursor", "mcp")
IDENTITIES = Identities(NOTHING, NOTHING, NOTHING)
ID = "11111111-1111-4111-8111-111111111111"


def reading() -> Reading:
    others: dict[str, Any] = {name: NOTHING for name in signature(Reading).parameters if name != "identities"}
    return Reading(identities=IDENTITIES, **others)


def log() -> LogReading:
    return LogReading(NOTHING, NOTHING, NOTHING, IDENTITIES, NOTHING)


def rules() -> AccessRules:
    return AccessRules(IDENTITIES, NOTHING, NOTHING, NOTHING, NOTHING)


READS: dict[str, Callable[[], Awaitable[object]]] = {
    "page": lambda: reading().page(APP, ListQuery()),
    "get": lambda: reading().get(APP, ID),
    "apps": lambda: reading().apps(APP, AppQuery()),
    "stats": lambda: reading().stats(APP),
    "operation": lambda: reading().operation(APP, ID),
    "events": lambda: log().events(APP, EventFilter(), after=None, limit=10),
    "event stream": lambda: log().follow(APP, EventFilter(), after=None, idle=1),
    "rules": lambda: rules().access_rules(APP, None, page=1, size=10),
    "default": lambda: rules().default_access(APP),
    "preview": lambda: rules().readable(APP, ID, page=1, size=10),
    "set a rule": lambda: rules().set_access_rule(APP, ID, "allow", memory_id=None, category=None),
    "remove a rule": lambda: rules().remove_access_rule(APP, ID),
    "change the default": lambda: rules().change_default_access(APP, "allow"),
}


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("name", READS)
async def test_an_app_is_refused_what_is_the_owners(name: str) -> None:
    with pytest.raises(Forbidden, match="owner alone"):
        await READS[name]()

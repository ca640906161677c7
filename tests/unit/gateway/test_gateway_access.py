"""What shows all that a person has is the owner's to read: an app is turned away before anything is asked for."""

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any, TypeVar, cast

import pytest
from contracts.errors import Forbidden
from gateway.service import AppQuery, BackupQuery, Caller, EventFilter, Everything, ListQuery
from gateway.use_cases.access import AccessRules
from gateway.use_cases.access_log import AccessLogReading
from gateway.use_cases.apps import Apps
from gateway.use_cases.archive_policies import ArchivePolicies
from gateway.use_cases.categories import Categories
from gateway.use_cases.config import Configuring
from gateway.use_cases.exporting import Exporting
from gateway.use_cases.identity import Identities
from gateway.use_cases.log_reading import LogReading
from gateway.use_cases.reading import Reading
from gateway.use_cases.related import Related
from gateway.use_cases.sources import Sources
from gateway.use_cases.states import States

T = TypeVar("T")
NOTHING = cast("Any", None)
"""What is not reached."""
APP = Caller("ada", "cursor", "mcp")
IDENTITIES = Identities(NOTHING, NOTHING, NOTHING)
ID = "11111111-1111-4111-8111-111111111111"


def made(part: Callable[..., T]) -> T:
    """The part with nothing behind it but who is who."""
    others: dict[str, Any] = {name: NOTHING for name in signature(part).parameters if name != "identities"}
    return part(identities=IDENTITIES, **others)


READS: dict[str, Callable[[], Awaitable[object]]] = {
    "page": lambda: made(Reading).page(APP, ListQuery()),
    "get": lambda: made(Reading).get(APP, ID),
    "apps": lambda: made(Apps).apps(APP, AppQuery()),
    "stats": lambda: made(Apps).stats(APP),
    "memories of an app": lambda: made(Apps).app_memories(APP, ID, page=1, page_size=10),
    "memories that an app read": lambda: made(Apps).app_accessed(APP, ID, page=1, page_size=10),
    "related": lambda: made(Related).related(APP, ID),
    "access log": lambda: made(AccessLogReading).access_log(APP, ID, page=1, page_size=10),
    "events": lambda: made(LogReading).events(APP, EventFilter(), after=None, limit=10),
    "newest events": lambda: made(LogReading).newest_events(APP, EventFilter(), before=None, limit=10),
    "event stream": lambda: made(LogReading).follow(APP, EventFilter(), after=None, idle=1),
    "rules": lambda: made(AccessRules).access_rules(APP, None, page=1, size=10),
    "default": lambda: made(AccessRules).default_access(APP),
    "preview": lambda: made(AccessRules).readable(APP, ID, page=1, size=10),
    "set a rule": lambda: made(AccessRules).set_access_rule(APP, ID, "allow", memory_id=None, category=None),
    "remove a rule": lambda: made(AccessRules).remove_access_rule(APP, ID),
    "change the default": lambda: made(AccessRules).change_default_access(APP, "allow"),
    "pause an app": lambda: made(Apps).set_app_active(APP, ID, False),
    "change a state": lambda: made(States).set_state(APP, Everything(), "archived"),
    "restore": lambda: made(States).restore(APP, (ID,)),
    "categories": lambda: made(Categories).categories(APP),
    "categorize": lambda: made(Categories).categorize(APP, ID, ("food",)),
    "define a category": lambda: made(Categories).define_category(APP, "food", ""),
    "remove a category": lambda: made(Categories).remove_category(APP, ID),
    "settings": lambda: made(Configuring).configuration(APP),
    "change settings": lambda: made(Configuring).change_configuration(APP, {}, merge=True, confirmed=False),
    "reset settings": lambda: made(Configuring).reset_configuration(APP, confirmed=False),
    "archive policies": lambda: made(ArchivePolicies).archive_policies(APP),
    "remove an archive policy": lambda: made(ArchivePolicies).remove_archive_policy(APP, ID),
    "reprocess": lambda: made(Sources).reprocess(APP, since=None, source_id=None, run=None),
    "how far reprocessing is": lambda: made(Sources).reprocessing(APP, ID, since=None, source_id=None),
    "export": lambda: made(Exporting).export_backup(APP, BackupQuery()),
}


@pytest.mark.guarantee("G8")
@pytest.mark.parametrize("name", READS)
async def test_an_app_is_refused_what_is_the_owners(name: str) -> None:
    with pytest.raises(Forbidden, match="owner alone"):
        await READS[name]()

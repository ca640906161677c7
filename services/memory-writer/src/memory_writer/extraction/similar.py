"""What is remembered already about the facts of a text: found by the indexer, read from the log, and only what the app
that sent the text may read (architecture §5)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from contracts import subjects
from contracts.access import Asking, Policy, Readable, Rule, access_of, may_read
from contracts.api import SearchReply, SearchRequest
from contracts.categories import category_key, category_keys
from contracts.codec import DataKey
from contracts.errors import Unavailable, error_from_code
from contracts.events import AccessRuleSet, DefaultAccessChanged, SettingsChanged
from contracts.ids import OWNER_APP
from contracts.messages import Event
from contracts.streams import events as events_stream
from contracts.subjects import SEARCH
from nats.aio.client import Client
from runtime.errors import NATS_FAILURES
from runtime.event_store import EventStore, recorded
from runtime.telemetry import trace_headers

from memory_writer.aggregates import fold
from memory_writer.domain.app import Running
from memory_writer.domain.memory import Active
from memory_writer.extraction.deciding import Known

_A_FACT = 5
"""Similar memories that a fact is compared with."""
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class User:
    """Whose text it is, and through which app it came."""

    uid: str
    app_id: str
    key: DataKey


class Remembered:
    """Reads what a user's memory holds. All methods raise `Unavailable`, and what a damaged log raises."""

    def __init__(self, client: Client, events: EventStore) -> None:
        self._client = client
        self._events = events

    async def instructions(self, user: User) -> str | None:
        """What the user wants to be observed, by their settings."""
        history = await self._events.load(subjects.settings(user.uid), user.key)
        changed = [event.payload for event in history if isinstance(event.payload, SettingsChanged)]
        section = changed[-1].settings.get("openmemory") if changed else None
        said = cast("Mapping[str, object]", section).get("custom_instructions") if isinstance(section, dict) else None
        return said if isinstance(said, str) and said.strip() else None

    async def similar(self, user: User, facts: Sequence[str], after: int, without: str | None) -> list[Known]:
        """Memories that are similar to any of the facts, each once, as they are once the shard's event at `after` is
        indexed; but not the memory `without`."""
        asking = await self._asking(user)
        access = access_of(asking)
        if access is None:
            return []

        async def search(fact: str) -> list[str]:
            request = SearchRequest(uid=user.uid, query=fact, limit=_A_FACT, access=access, min_sequence=after)
            return await self._search(request)

        found: list[list[str]] = []
        for start in range(0, len(facts), _AT_ONCE):  # a person's own searches come in between
            found += await asyncio.gather(*map(search, facts[start : start + _AT_ONCE]))
        ids = [id_ for id_ in dict.fromkeys(id_ for hits in found for id_ in hits) if id_ != without]
        known: list[Known | None] = []
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            known += await asyncio.gather(*(self._known(user, asking, memory_id) for memory_id in part))
        return [memory for memory in known if memory is not None]

    async def memory(self, user: User, memory_id: str) -> Known | None:
        """An active memory as the log has it, whoever may read it."""
        state = fold("memory", await self._events.load(subjects.memory(user.uid, memory_id), user.key)).state
        return Known(memory_id, state.version, state.text) if isinstance(state, Active) else None

    async def _search(self, request: SearchRequest) -> list[str]:
        try:
            reply = await self._client.request(
                SEARCH,
                request.model_dump_json().encode(),
                timeout=request.timeout_s + 1,
                headers=trace_headers() or None,
            )
        except NATS_FAILURES as error:
            raise Unavailable(f"the indexer does not answer ({type(error).__name__})") from error
        answer = SearchReply.model_validate_json(reply.data)
        if answer.error is not None:
            raise error_from_code(answer.code or "internal", f"the indexer: {answer.error}")
        return [hit.memory_id for hit in answer.hits]

    async def _known(self, user: User, asking: Asking, memory_id: str) -> Known | None:
        """The memory as the log has it, whatever the index shows; None for what the app may not read."""
        history = await self._events.load(subjects.memory(user.uid, memory_id), user.key)
        state = fold("memory", history).state
        if not isinstance(state, Active):
            return None
        about = Readable(memory_id, history[0].meta.app, "active", category_keys(state.categories))
        return Known(memory_id, state.version, state.text) if may_read(asking, about) else None

    async def _asking(self, user: User) -> Asking:
        app = fold("app", await self._events.load(subjects.app(user.uid, user.app_id), user.key)).state
        running = isinstance(app, Running)
        owner = running and app.name == OWNER_APP
        rules, default = await self._rules(user)
        return Asking(user.app_id, running, owner, rules, default)

    async def _rules(self, user: User) -> tuple[tuple[Rule, ...], Policy]:
        """The rules of the app that hold, and the user's default."""
        shard = subjects.shard_of(user.uid, self._events.shards)
        subject = subjects.access_of_user(shard, user.uid)
        last: dict[str, Event | None] = {}
        for message in await self._events.read_subject(events_stream(shard).name, subject):
            last[message.subject] = recorded(shard, message, user.key).payload
        default: Policy = "allow"
        rules: list[Rule] = []
        for event in last.values():
            match event:
                case AccessRuleSet(app_id=app_id) if app_id == user.app_id:
                    category = None if event.category is None else category_key(event.category)
                    rules.append(Rule(event.effect, event.memory_id, category))
                case DefaultAccessChanged(policy=policy):
                    default = policy
                case _:
                    pass
        return tuple(rules), default

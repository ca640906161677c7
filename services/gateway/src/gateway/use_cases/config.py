"""Settings: what is in force, and changing it. They are events of the user whose they are; the server's own are the
default user's."""

import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, cast

from contracts.commands import ChangeSettings
from contracts.configuration import (
    MINILM,
    OPENAI_URL,
    Configuration,
    Configured,
    Embedder,
    Mem0Part,
    base_url,
    checked_embedder,
    checked_llm,
    embedder_spec,
    hidden,
    is_hidden,
    stored_configuration,
)
from contracts.errors import Conflict, InvalidInput, MemlogError, Unavailable
from contracts.generations import GenerationRequest, ProjectionView
from contracts.streams import INDEX
from pydantic import JsonValue
from runtime.environment_settings import FromEnvironment
from runtime.stored_settings import StoredSettings

from gateway.asking import Caller
from gateway.use_cases.commanding import Commanding, Principal
from gateway.use_cases.identity import Identities

_TRIES = 5
_Section = Literal["llm", "embedder", "vector_store"]
_SECTIONS: tuple[_Section, ...] = ("llm", "embedder", "vector_store")
Rebuild = Callable[[str, GenerationRequest], Awaitable[ProjectionView]]


class SettingsOfServer(MemlogError):
    """Language model, embedder and vector store are the server's, for all users: only the default user changes them."""

    code = "settings_of_server"
    status = 403
    remedy = "Send the request without `user_id`. Custom instructions are each user's own."


class SetByEnvironment(Conflict):
    """The environment says this already, and wins: a stored value would have no effect."""

    code = "set_by_environment"
    remedy = "Change or unset the variable that the message names, and start Memlog anew."


class RebuildNotConfirmed(Conflict):
    """The change needs the index to be built anew, which embeds every text again."""

    code = "rebuild_not_confirmed"
    remedy = "Send the request again with `?confirm=rebuild` if that is what you want."


class Configuring:
    """The part of `gateway.service.MemoryService` that is about settings. `rebuild` changes a projection."""

    def __init__(
        self,
        identities: Identities,
        commanding: Commanding,
        stored: StoredSettings,
        environment: FromEnvironment,
        rebuild: Rebuild,
    ) -> None:
        self._identities = identities
        self._commanding = commanding
        self._stored = stored
        self._environment = environment
        self._rebuild = rebuild

    async def configuration(self, caller: Caller) -> Configured:
        principal = await self._identities.owner(caller)
        own = await self._stored.of(principal.uid)
        return self._shown(own, await self._servers(principal, own))

    async def change_configuration(
        self, caller: Caller, change: Mapping[str, Any], *, merge: bool, confirmed: bool
    ) -> Configured:
        """See `gateway.service.MemoryService`."""

        async def changed(own: dict[str, JsonValue], is_server: bool) -> dict[str, JsonValue]:
            servers = own if is_server else await self._stored.of_server()
            return self._changed(own, servers, change, merge=merge, is_server=is_server)

        return await self._replace(caller, changed, confirmed)

    async def reset_configuration(self, caller: Caller, *, confirmed: bool) -> Configured:
        async def nothing(own: dict[str, JsonValue], is_server: bool) -> dict[str, JsonValue]:
            return {}

        return await self._replace(caller, nothing, confirmed)

    async def _replace(
        self,
        caller: Caller,
        changed: Callable[[dict[str, JsonValue], bool], Awaitable[dict[str, JsonValue]]],
        confirmed: bool,
    ) -> Configured:
        """Change what is stored now; again, when somebody else was quicker."""
        principal = await self._identities.owner(caller)
        is_server = principal.uid == await self._stored.default_uid()
        for left in reversed(range(_TRIES)):
            own = await self._stored.of(principal.uid)
            wanted = await changed(copy.deepcopy(own), is_server)
            if wanted != own:
                await self._embed_with(_embedder(own), _embedder(wanted), confirmed)
                command = ChangeSettings(settings=wanted, before=own)
                try:
                    sent = await self._commanding.send(principal, command, wait="stored")
                except Conflict:
                    if left:
                        continue
                    raise
                if sent.state == "accepted":
                    raise Unavailable(f"the change is accepted (operation {sent.command_id}), and not made yet")
            return self._shown(wanted, await self._servers(principal, wanted))
        raise AssertionError("unreachable")

    async def _servers(self, principal: Principal, own: dict[str, JsonValue]) -> dict[str, JsonValue]:
        is_server = principal.uid == await self._stored.default_uid()
        return own if is_server else await self._stored.of_server()

    async def _embed_with(self, before: Embedder, after: Embedder, confirmed: bool) -> None:
        """Begin to rebuild the index when the embedder is another one. Raises as that does, `RebuildNotConfirmed`."""
        now, then = embedder_spec(before), embedder_spec(after)
        if now == then or self._environment.embedder is not None:
            return
        if not confirmed:
            raise RebuildNotConfirmed(
                f"the embedder would change from {now} to {then}: the index is then built anew, and every text is "
                f"embedded again{_leaves(after)}, which takes a while. Searches use the index that is there until the "
                "new one has caught up. Nothing was changed; confirm with ?confirm=rebuild"
            )
        await self._rebuild(INDEX, GenerationRequest(action="rebuild", embedder=then))

    def _shown(self, own: Mapping[str, JsonValue], servers: Mapping[str, JsonValue]) -> Configured:
        found = stored_configuration(servers).mem0
        mem0 = Mem0Part(
            llm=self._environment.llm or found.llm,
            embedder=self._environment.embedder or found.embedder or MINILM,
            vector_store=self._environment.vector_store,
        )
        shown = Configuration(openmemory=stored_configuration(own).openmemory, mem0=_masked(mem0))
        fixed = tuple(f"mem0.{section}" for section in _SECTIONS if getattr(self._environment, section) is not None)
        return Configured(shown, fixed)

    def _changed(
        self,
        own: dict[str, JsonValue],
        servers: Mapping[str, JsonValue],
        change: Mapping[str, Any],
        *,
        merge: bool,
        is_server: bool,
    ) -> dict[str, JsonValue]:
        """What is to be stored. Raises `InvalidInput`, `SettingsOfServer`, `SetByEnvironment`, `Conflict`."""
        if "custom_instructions" in (change.get("openmemory") or {}):
            text = change["openmemory"]["custom_instructions"]
            own.pop("openmemory", None)
            if text:
                own["openmemory"] = {"custom_instructions": text}
        shown = self._shown(own, servers).configuration.mem0.model_dump()
        stored = cast("dict[str, Any]", own.get("mem0") or {})
        wished: Mapping[str, Any] = change.get("mem0") or {}
        for section in _SECTIONS:
            if section not in wished or (section == "vector_store" and wished[section] is None):
                continue
            before = cast("dict[str, Any]", shown[section] or {})
            after = _wished(wished[section], before if merge else {})
            if after == _given(before):
                continue
            self._require_changeable(section, is_server)
            if after is None:
                stored.pop(section, None)
                continue
            kept = _config(stored.get(section) or {}).get("api_key")
            checked = (checked_llm if section == "llm" else checked_embedder)(_unmasked(after, section, kept))
            if isinstance(checked, Embedder):
                _check_key(checked, self._environment.embedder_url)
            stored[section] = _given(checked.model_dump(exclude_unset=True))
        own.pop("mem0", None)
        return {**own, "mem0": stored} if stored else own

    def _require_changeable(self, section: _Section, is_server: bool) -> None:
        if section == "vector_store":
            raise SetByEnvironment(
                "mem0.vector_store: where the index is kept is set at the start: MEMLOG_QDRANT_URL for a Qdrant "
                "server, MEMLOG_INDEX_PATH for a folder. Change it there, and start Memlog anew: the index is filled "
                "from the log"
            )
        if not is_server:
            raise SettingsOfServer(
                f"mem0.{section} is the server's, for all users: only the default user "
                f"('{self._environment.default_user}') changes it"
            )
        if getattr(self._environment, section) is not None:
            raise SetByEnvironment(
                f"mem0.{section} is set by the environment (MEMLOG_{section.upper()}), which wins: change it there"
            )


def _embedder(stored: Mapping[str, JsonValue]) -> Embedder:
    return stored_configuration(stored).mem0.embedder or MINILM


def _leaves(embedder: Embedder) -> str:
    where = base_url(embedder)
    return "" if where is None else f" by {where}, to which they are sent"


def _masked(part: Mem0Part) -> Mem0Part:
    found = part.model_dump()
    for section in ("llm", "embedder"):
        if found[section] is not None:
            found[section]["config"]["api_key"] = hidden(found[section]["config"]["api_key"])
    return Mem0Part.model_validate(found)


def _wished(wish: Mapping[str, Any] | None, before: Mapping[str, Any]) -> dict[str, Any] | None:
    """The section as it is asked for; None: as if it had never been set."""
    if wish is None:
        return None
    config = {**_config(before), **_config(wish)}
    return _given({**before, **wish, "config": config})


def _given(section: Mapping[str, Any]) -> dict[str, Any]:
    """The section without what is null: that says nothing."""
    config = {name: value for name, value in _config(section).items() if value is not None}
    return {**{name: value for name, value in section.items() if value is not None}, "config": config}


def _config(section: Mapping[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any] | None", section.get("config")) or {}


def _unmasked(section: dict[str, Any], name: str, kept: str | None) -> dict[str, Any]:
    """With the reference that is stored, where the section brings it back as it was shown."""
    key = section["config"].get("api_key")
    if not isinstance(key, str) or not is_hidden(key):
        return section
    if key != hidden(kept):
        raise InvalidInput(f"mem0.{name}.config.api_key: '{key}' stands for a reference that is not stored")
    return {**section, "config": {**section["config"], "api_key": kept}}


def _check_key(embedder: Embedder, environments: str) -> None:
    """The embedder's key is shown to the endpoint that the environment names for it, and to OpenAI its own. Raises
    `InvalidInput`."""
    reference, where = embedder.config.api_key, base_url(embedder)
    known = {"env:OPENAI_API_KEY": OPENAI_URL, "env:MEMLOG_EMBEDDER_API_KEY": environments}
    if reference is not None and known.get(reference) != where:
        raise InvalidInput(
            "mem0.embedder.config.api_key: the embedder's key comes from the environment of the index: "
            "env:OPENAI_API_KEY for OpenAI, env:MEMLOG_EMBEDDER_API_KEY for the endpoint of MEMLOG_EMBEDDER_BASE_URL"
        )

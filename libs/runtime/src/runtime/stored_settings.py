"""Settings that stand in the log, and the language model that they and the environment name.

A user's settings are that user's; what the server uses for all (the language model) is the default user's to say.
What the environment names wins over what is stored.
"""

import asyncio
import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from contracts.codec import Undecodable, decode_event
from contracts.configuration import OPENAI_URL, Llm, base_url, checked_llm, stored_configuration
from contracts.errors import ConfigurationError, KeyMissing, MemlogError, Unavailable
from contracts.events import SettingsChanged
from contracts.streams import USERS
from contracts.streams import events as events_stream
from contracts.subjects import event_subject, shard_of, user_subject
from contracts.subjects import settings as settings_of
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from pydantic import JsonValue

from runtime.errors import nats_errors
from runtime.keys import KeyStore
from runtime.language_model import LanguageModel, LanguageModelChoice
from runtime.metrics import MODEL_FAILING
from runtime.openai_model import language_model_choice, open_language_model
from runtime.settings import Settings

log = structlog.get_logger()
_LOOK_EVERY_S = 1.0
_KEY_NAME = "_API_KEY"
_MAX_KEY_BYTES = 4096


class StoredSettings:
    """Reads what was set last, from the log itself: what was written before is seen, whatever the read models show."""

    def __init__(self, js: JetStreamContext, keys: KeyStore, shards: int, default_user: str) -> None:
        self._js = js
        self._keys = keys
        self._shards = shards
        self._default_user = default_user
        self._default_uid: str | None = None

    async def of(self, uid: str) -> dict[str, JsonValue]:
        """What this user has set. Raises `Unavailable`, and as the codec does."""
        shard = shard_of(uid, self._shards)
        with nats_errors("read the settings"):
            try:
                # By the stream's leader: a replica may be a moment behind.
                found = await self._js.get_msg(
                    events_stream(shard).name, subject=event_subject(shard, settings_of(uid))
                )
            except NotFoundError:
                return {}
        _, type_, event = decode_event(found.data or b"", await self._keys.get(uid))
        if not isinstance(event, SettingsChanged):
            raise Undecodable(f"the settings are a {type_}, which this version does not know")
        return event.settings

    async def of_server(self) -> dict[str, JsonValue]:
        """What the default user has set; nothing while there is no such user. Raises as `of`."""
        uid = await self.default_uid()
        try:
            return {} if uid is None else await self.of(uid)
        except KeyMissing:
            return {}  # that user was erased

    async def default_uid(self) -> str | None:
        """The default user's opaque id; None while that user does not exist. Raises `Unavailable`."""
        if self._default_uid is None:
            subject = user_subject(self._keys.master.name_hash(self._default_user))
            with nats_errors("answer the user directory"):
                try:
                    found = await self._js.get_msg(USERS.name, subject=subject)
                except NotFoundError:
                    return None
            self._default_uid = json.loads(found.data or b"{}")["uid"]
        return self._default_uid


class ChosenLanguageModel:
    """The language model that is wanted now. `follow` runs beside; who asks takes `model` anew for each question."""

    def __init__(self, stored: StoredSettings, settings: Settings) -> None:
        self._stored = stored
        self._settings = settings
        self._choice: LanguageModelChoice | None = None
        self._failure: str | None = None
        self._model: LanguageModel | None = None

    @property
    def model(self) -> LanguageModel | None:
        """None: none is wanted, or `failure` says why the one that is wanted cannot be used."""
        return self._model

    @property
    def failure(self) -> str | None:
        """Why the model that is wanted cannot be asked, as far as is known."""
        return self._failure or (None if self._model is None else self._model.failure)

    def wanted(self) -> bool:
        """Whether one is wanted, be it that it cannot be used."""
        return self._choice is not None or self._failure is not None

    async def refresh(self) -> None:
        """Look once. What cannot be used becomes `failure`; raises `Unavailable`."""
        try:
            choice = wanted_language_model(self._settings, await self._stored.of_server())
            self._failure = None
        except Unavailable:
            raise
        except MemlogError as error:
            choice, self._failure = None, error.message
        if choice == self._choice:
            return
        before, self._choice = self._model, choice
        self._model = None if choice is None else open_language_model(choice, self._settings)
        log.info("language_model_chosen", model=None if self._model is None else self._model.name)
        if before is not None:
            await before.close()

    async def follow(self) -> None:
        """Look every second, until cancelled."""
        try:
            with MODEL_FAILING.known(lambda: [(float(self.failure is not None), {})] if self.wanted() else []):
                while True:
                    try:
                        await self.refresh()
                    except Unavailable as error:  # what is known goes on
                        log.warning("settings_not_read", error=error.message)
                    await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            if self._model is not None:
                await self._model.close()


def wanted_language_model(settings: Settings, stored: Mapping[str, JsonValue]) -> LanguageModelChoice | None:
    """Which language model the environment names, else the default user's settings; None: none. Raises
    `ConfigurationError` for a key that is not where the reference says, `InvalidInput` for settings that cannot be
    used."""
    if settings.llm is not None:
        return language_model_choice(settings)
    llm = stored_configuration(stored).mem0.llm
    if llm is None:
        return None
    llm = checked_llm(llm.model_dump())
    where = base_url(llm)
    assert where is not None, "it was checked"
    return LanguageModelChoice(
        model=llm.config.model,
        base_url=where,
        api_key=_key_of(llm, where, settings),
        temperature=llm.config.temperature,
        max_tokens=llm.config.max_tokens,
    )


def _key_of(llm: Llm, where: str, settings: Settings) -> str | None:
    if llm.config.api_key is not None:
        return resolve_key(llm.config.api_key, where, settings)
    own = settings.openai_api_key if where == OPENAI_URL else None
    return None if own is None else own.get_secret_value()


def resolve_key(reference: str, where: str, settings: Settings) -> str:
    """The key that `env:NAME` or `file:/path` refers to, for the endpoint `where`. Raises `ConfigurationError` where
    there is none, and for what must not go there."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name == "OPENAI_API_KEY" and urlsplit(where).hostname != urlsplit(OPENAI_URL).hostname:
            raise ConfigurationError(f"env:{name} is OpenAI's key, and is not shown to {urlsplit(where).netloc}")
        own = name == "MEMLOG_LLM_API_KEY" and where == settings.llm_base_url.rstrip("/")
        if name.startswith("MEMLOG_") and not own:
            raise ConfigurationError(f"env:{name} is Memlog's own, and is not shown to {urlsplit(where).netloc}")
        if not name.endswith(_KEY_NAME):  # whoever may change settings may not read the whole environment
            raise ConfigurationError(f"env:{name} is not shown to anybody: only variables named *{_KEY_NAME} are keys")
        value = os.environ.get(name)
        if value is None and name == "OPENAI_API_KEY" and settings.openai_api_key is not None:
            value = settings.openai_api_key.get_secret_value()
    else:
        value = _read_key(Path(name), where, settings)
    value = (value or "").strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError(f"there is no key at {reference}: it is missing, empty, or not one line of text")
    return value


def _read_key(path: Path, where: str, settings: Settings) -> str:
    try:
        file, folder = path.resolve(strict=True), settings.secrets_path.resolve()
        if not file.is_relative_to(folder):
            raise ConfigurationError(
                f"file:{path} is not in the folder of secrets, {folder}: put it there, or see MEMLOG_SECRETS_PATH"
            )
        found = file.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_KEY_BYTES:
            raise ConfigurationError(f"file:{path} is not a small file that holds a key and nothing else")
        if any(own.exists() and file.samefile(own) for own in _own_secrets(where, settings)):
            raise ConfigurationError(f"file:{path} is Memlog's own, and is not shown to {urlsplit(where).netloc}")
        return file.read_text()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"file:{path} cannot be read: {type(error).__name__}") from None


def _own_secrets(where: str, settings: Settings) -> list[Path]:
    """Files that settings of the environment name, master key, passwords, tokens: they may stand in the same folder."""
    named = {name: Path(path) for name, path in os.environ.items() if re.fullmatch("MEMLOG_.+_FILE", name) and path}
    if where == settings.llm_base_url.rstrip("/"):
        named.pop("MEMLOG_LLM_API_KEY_FILE", None)
    return [*named.values(), *filter(None, (settings.master_key_file, settings.admin_token_file))]

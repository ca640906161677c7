"""Who a caller is: names to opaque ids. Users and apps come into being at their first use, as events."""

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass

from contracts import ids
from contracts.commands import RegisterApp, RegisterUser
from contracts.errors import Forbidden, InvalidInput, KeyMissing, Unavailable
from contracts.streams import USERS
from contracts.subjects import user_subject
from nats.js import JetStreamContext
from runtime.errors import nats_errors
from runtime.keys import KeyStore, SealingKey
from runtime.nats import last_message
from runtime.publishing import publish_first

from gateway.service import OWNER_APP, Caller
from gateway.use_cases.commanding import Commanding, Principal

_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class _User:
    uid: str
    key: SealingKey


class Identities:
    """Resolves callers. A user's directory entry and key are made before anything is written for the user."""

    def __init__(self, js: JetStreamContext, keys: KeyStore, commanding: Commanding) -> None:
        self._js = js
        self._keys = keys
        self._commanding = commanding
        self._users: OrderedDict[str, _User] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._registering: dict[tuple[str, str], asyncio.Lock] = {}

    async def resolve(self, caller: Caller) -> Principal:
        """The principal; registers user and app at their first use. Raises `InvalidInput`, `Unavailable`."""
        if caller.app == OWNER_APP and caller.actor == "mcp":
            raise InvalidInput(f"'{OWNER_APP}' is the owner's own app; connect under another client name")
        user = await self._user(caller.user)
        principal = Principal(
            uid=user.uid,
            app_id=ids.app_id(user.key.identity, caller.app),
            app_name=caller.app,
            actor=caller.actor,
            key=user.key,
        )
        await self._ensure_registered(principal, caller.user)
        return principal

    async def owner(self, caller: Caller) -> Principal:
        """The principal of a read that shows whatever the person has, which no app may see. Raises as `resolve`, and
        `Forbidden` for an app."""
        if caller.app != OWNER_APP:
            raise Forbidden(f"this is shown to the memories' owner alone, not to the app '{caller.app}'")
        return await self.resolve(caller)

    async def _user(self, name: str) -> _User:
        found = self._users.get(name)
        if found is not None:
            self._users.move_to_end(name)
            return found
        subject = user_subject(self._keys.master.name_hash(name))
        uid = await self._directory_entry(subject)
        if uid is None:
            uid = await self._new_entry(subject)
        try:
            user = _User(uid, await self._keys.get(uid))
        except KeyMissing:
            raise KeyMissing("this user was erased") from None
        self._users[name] = user
        if len(self._users) > _CACHED:
            self._users.popitem(last=False)
        return user

    async def _directory_entry(self, subject: str) -> str | None:
        with nats_errors("answer the user directory"):
            found = await last_message(self._js, USERS.name, subject)
        return None if found is None else json.loads(found.data or b"{}")["uid"]

    async def _new_entry(self, subject: str) -> str:
        # The key first: an entry in the directory then always has a key, and one without was erased.
        uid = ids.new_uid()
        await self._keys.create(uid)
        with nats_errors("take a new user"):
            if await publish_first(self._js, subject, json.dumps({"uid": uid}).encode()):
                return uid
        # Somebody was quicker: theirs counts. The key that was made in vain seals nothing and stays: a gateway that may
        # destroy keys could destroy everybody's.
        winner = await self._directory_entry(subject)
        if winner is None:
            raise KeyMissing("this user was erased just now")
        return winner

    async def _ensure_registered(self, principal: Principal, user_name: str) -> None:
        known = (principal.uid, principal.app_id)
        if known in self._known:
            self._known.move_to_end(known)
            return
        lock = self._registering.setdefault(known, asyncio.Lock())
        async with lock:
            if known not in self._known:
                await self._register(principal, RegisterUser(name=user_name), "register-user")
                command = RegisterApp(name=principal.app_name)
                await self._register(principal, command, f"register-app:{principal.app_id}")
                self._known[known] = None
                if len(self._known) > _CACHED:
                    self._known.popitem(last=False)
        self._registering.pop(known, None)

    async def _register(self, principal: Principal, command: RegisterUser | RegisterApp, key: str) -> None:
        sent = await self._commanding.send_internal(principal, command, key)
        # What the read models gave up on is registered all the same: its reads find nothing, its writes go on.
        if sent.state != "searchable" and sent.reason is None:
            raise Unavailable("a new user or app is accepted but not known everywhere yet; try again in a moment")

"""Proves tokens of ours: those that the log holds, and the operator's own, which stands in a file.

Nothing of the log is cached: each request reads the last event of its token from the stream's leader, one lookup by
subject, so a token that was revoked counts nowhere from the moment on at which that is in the log.
"""

import hmac
import re
import stat
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import structlog
from contracts.codec import decode_event
from contracts.errors import ConfigurationError, MemlogError, Unavailable
from contracts.events import TokenIssued
from contracts.ids import OWNER_APP
from contracts.streams import events as events_stream
from contracts.subjects import event_subject, shard_of
from contracts.subjects import token as token_of
from contracts.tokens import PREFIX, BearerToken, is_secret_of, parse_token
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from runtime.clock import utc_now
from runtime.errors import nats_errors
from runtime.keys import KeyStore

from gateway.asking import Scope
from gateway.auth.identity import Identity, Unauthenticated

MIN_ADMIN_TOKEN = 32
"""Characters. `openssl rand -hex 32` makes twice as many."""
_ADMIN_TOKEN = re.compile(rf"[A-Za-z0-9._~+/-]{{{MIN_ADMIN_TOKEN},1024}}=*")
_NOT_ONE = "this token does not count: it is unknown or was revoked"

log = structlog.get_logger()


class TokenAuthenticator:
    """Proves tokens that `memlog token issue` made, against their events."""

    def __init__(
        self,
        js: JetStreamContext,
        keys: KeyStore,
        shards: int,
        default_user: str,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._js = js
        self._keys = keys
        self._shards = shards
        self._default_user = default_user
        self._now = now

    def knows(self, bearer: str) -> bool:
        return bearer.startswith(PREFIX)

    async def authenticate(self, bearer: str) -> Identity:
        token = parse_token(bearer)
        if token is None:
            raise Unauthenticated("this is no token: it was cut, or something was added to it")
        issued = await self._issued(token)
        if issued is None or issued.token_id != token.token_id or not is_secret_of(token.secret, issued.hash):
            raise Unauthenticated(_NOT_ONE)
        if issued.expires_at is not None and issued.expires_at <= self._now():
            raise Unauthenticated(f"this token expired at {issued.expires_at.isoformat(timespec='seconds')}")
        return Identity(
            user=issued.user,
            app=issued.app,
            scopes=frozenset(Scope(scope) for scope in issued.scopes),
            credential=f"token:{issued.token_id}",
            operator=issued.user == self._default_user and issued.app == OWNER_APP and "admin" in issued.scopes,
            expires_at=issued.expires_at,
        )

    async def _issued(self, token: BearerToken) -> TokenIssued | None:
        """The event by which the token counts; None when it does not. Raises `Unavailable`."""
        shard = shard_of(token.uid, self._shards)
        subject = event_subject(shard, token_of(token.uid, token.token_id))
        with nats_errors("look a token up"):
            try:
                # By the stream's leader: a replica may be a moment behind a revocation.
                found = await self._js.get_msg(events_stream(shard).name, subject=subject)
            except NotFoundError:
                return None
        try:
            _, _, event = decode_event(found.data or b"", await self._keys.get(token.uid))
        except Unavailable:
            raise
        except MemlogError as error:  # the user was erased, or the message is damaged: nothing is proven
            log.warning("token_not_readable", token=token.token_id, code=error.code)
            return None
        return event if isinstance(event, TokenIssued) else None


class OperatorAuthenticator:
    """Proves the operator's own token: the one that stands in the file that MEMLOG_ADMIN_TOKEN_FILE names."""

    def __init__(self, admin_token: str, default_user: str) -> None:
        self._digest = _digest(admin_token)
        self._identity = Identity(
            user=default_user, app=OWNER_APP, scopes=frozenset(Scope), credential="operator", operator=True
        )

    def knows(self, bearer: str) -> bool:
        return hmac.compare_digest(_digest(bearer), self._digest)  # of one length each, so that takes always as long

    async def authenticate(self, bearer: str) -> Identity:
        if not self.knows(bearer):
            raise Unauthenticated(_NOT_ONE)
        return self._identity


def read_admin_token(path: Path, secrets: Path) -> str:
    """The operator's token, the file's one line. `secrets` is the folder in which containers find their secrets, with
    whatever mode these were mounted. Raises `ConfigurationError` for a file that is missing, that others can read or
    change, or that holds no token to rely on."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigurationError(f"the admin token {path} is not a file")
        if mode & 0o026 and not path.resolve().is_relative_to(secrets.resolve()):
            raise ConfigurationError(
                f"the admin token {path} can be read or changed by others (mode {stat.S_IMODE(mode):o}), who could do"
                f" everything with it: chmod 600 {path}"
            )
        with path.open() as file:
            token = file.read(4096).strip()
    except FileNotFoundError:
        raise ConfigurationError(
            f"the admin token {path} is missing: make one (umask 077; openssl rand -hex 32 > {path}), or unset"
            " MEMLOG_ADMIN_TOKEN_FILE if there are tokens with the scope admin"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the admin token {path} cannot be read: {type(error).__name__}") from None
    if not _ADMIN_TOKEN.fullmatch(token) or token.startswith(PREFIX):
        raise ConfigurationError(
            f"the admin token {path} has to be one line of {MIN_ADMIN_TOKEN} letters, digits or ._~+/- or more, and not"
            f" to begin with {PREFIX}: openssl rand -hex 32 > {path}"
        )
    return token


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()

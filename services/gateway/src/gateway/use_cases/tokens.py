"""A user's tokens: issuing, listing, revoking. `gateway.auth.tokens` proves them, by the log alone."""

import math
from datetime import datetime, timedelta
from typing import Literal

from contracts.commands import IssueToken, RevokeToken
from contracts.errors import Unavailable
from contracts.streams import READ_MODELS
from contracts.tokens import IssuedToken, TokenPage, TokenRequest, TokenView, new_token
from runtime.clock import utc_now
from runtime.postgres import Pool, Row

from gateway.asking import Caller
from gateway.use_cases.commanding import Commanding, Principal
from gateway.use_cases.freshness import Freshness
from gateway.use_cases.identity import Identities
from gateway.use_cases.paging import fetch_page
from gateway.use_cases.views import epoch

_COUNT = "SELECT count(*) FROM memlog.tokens WHERE uid = $1"
_TOKENS = """
    SELECT token_id, app_name, scopes, label, issued_at, issued_by, expires_at, revoked_at FROM memlog.tokens
    WHERE uid = $1 ORDER BY issued_at DESC, token_id DESC LIMIT $2 OFFSET $3
"""


class Tokens:
    """The part of `gateway.service.MemoryService` that is about tokens."""

    def __init__(self, identities: Identities, commanding: Commanding, pool: Pool, freshness: Freshness) -> None:
        self._identities = identities
        self._commanding = commanding
        self._pool = pool
        self._freshness = freshness

    async def issue_token(self, caller: Caller, wanted: TokenRequest) -> IssuedToken:
        principal = await self._identities.owner(caller)
        token = new_token(principal.uid)
        command = IssueToken(
            token_id=token.token_id,
            hash=token.hash,
            user=caller.user,
            app=wanted.app,
            scopes=wanted.scopes,
            label=wanted.label,
            expires_at=None if wanted.days is None else utc_now() + timedelta(days=wanted.days),
        )
        await self._send(principal, command)
        return IssuedToken(
            id=token.token_id,
            user_id=caller.user,
            app=command.app,
            scopes=[*command.scopes],
            label=command.label,
            expires_at=_epoch(command.expires_at),
            token=token.text,
        )

    async def tokens(self, caller: Caller, *, page: int, size: int) -> TokenPage:
        principal = await self._identities.owner(caller)
        self._freshness.require(principal.uid, (READ_MODELS,))
        total, rows = await fetch_page(self._pool, _COUNT, _TOKENS, (principal.uid,), page=page, size=size)
        now = utc_now()
        items = [_view(row, now) for row in rows]
        return TokenPage(items=items, total=total, page=page, size=size, pages=math.ceil(total / size))

    async def revoke_token(self, caller: Caller, token_id: str) -> None:
        await self._send(await self._identities.owner(caller), RevokeToken(token_id=token_id))

    async def _send(self, principal: Principal, command: IssueToken | RevokeToken) -> None:
        """Returns once it is in the log, which is what counts, and as a rule in the list, too."""
        sent = await self._commanding.send(principal, command, projections=(READ_MODELS,))
        if sent.state == "accepted":
            raise Unavailable(
                f"the change is accepted (operation {sent.command_id}) but not in force yet: "
                f"{sent.reason or 'ask for the tokens again before relying on it'}"
            )


def _view(row: Row, now: datetime) -> TokenView:
    return TokenView(
        id=row["token_id"],
        app=row["app_name"],
        scopes=row["scopes"],
        label=row["label"],
        state=_state(row, now),
        created_at=epoch(row["issued_at"]),
        created_by=row["issued_by"],
        expires_at=_epoch(row["expires_at"]),
        revoked_at=_epoch(row["revoked_at"]),
    )


def _state(row: Row, now: datetime) -> Literal["active", "expired", "revoked"]:
    if row["revoked_at"] is not None:
        return "revoked"
    return "expired" if row["expires_at"] is not None and row["expires_at"] <= now else "active"


def _epoch(moment: datetime | None) -> int | None:
    return None if moment is None else epoch(moment)

"""The fake service's tokens: issued, listed and revoked, each user's apart."""

from dataclasses import dataclass, field

from contracts.errors import NotFound
from contracts.tokens import IssuedToken, TokenPage, TokenRequest, TokenView, new_token
from gateway.service import Caller


@dataclass
class FakeTokens:
    """`issued` are those of each user, by their id."""

    issued: dict[str, dict[str, TokenView]] = field(default_factory=dict[str, dict[str, TokenView]])

    async def issue_token(self, caller: Caller, wanted: TokenRequest) -> IssuedToken:
        token = new_token("0" * 32)
        self.issued.setdefault(caller.user, {})[token.token_id] = TokenView(
            id=token.token_id, app=wanted.app, scopes=[*wanted.scopes], label=wanted.label, state="active",
            created_at=0, created_by=caller.actor,
        )  # fmt: skip
        return IssuedToken(
            id=token.token_id, user_id=caller.user, app=wanted.app, scopes=[*wanted.scopes], label=wanted.label,
            expires_at=None if wanted.days is None else wanted.days * 86_400, token=token.text,
        )  # fmt: skip

    async def tokens(self, caller: Caller, *, page: int, size: int) -> TokenPage:
        found = [*self.issued.get(caller.user, {}).values()]
        items = found[(page - 1) * size : page * size]
        return TokenPage(items=items, total=len(found), page=page, size=size, pages=-(-len(found) // size))

    async def revoke_token(self, caller: Caller, token_id: str) -> None:
        found = self.issued.get(caller.user, {})
        if token_id not in found:
            raise NotFound("the token was not found")
        found[token_id] = found[token_id].model_copy(update={"state": "revoked", "revoked_at": 1})

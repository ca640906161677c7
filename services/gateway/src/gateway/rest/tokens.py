"""`/api/v1/tokens`: who may act as which app of a user, and how far."""

from typing import Annotated

from contracts.ids import parse_uuid
from contracts.tokens import SCOPES, IssuedToken, ScopeName, TokenPage, TokenRequest
from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel, Field

from gateway.auth.refusals import require_scopes
from gateway.inputs import STRICT, Label, Name
from gateway.rest.common import Message, Params, Rest, RestDep, json_answer, requires, router
from gateway.service import OWNER_APP, Caller, Scope

routes = router("/api/v1/tokens", "tokens")


def _check_token_id(value: str) -> str:
    return parse_uuid(value, "token id").replace("-", "")


TokenId = Annotated[str, AfterValidator(_check_token_id)]


class TokenListParams(Params):
    """Whose tokens."""

    page: int = Field(default=1, ge=1, le=1_000_000)
    size: int = Field(default=50, ge=1, le=100)


class NewToken(BaseModel):
    """What a token is to be good for."""

    model_config = STRICT
    user_id: Name | None = Field(default=None, description="Whose; the operator's choice, else one's own")
    app: Name = Field(default=OWNER_APP, description="The client that acts with it; `dashboard`: the person")
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=len(SCOPES))]
    label: Label = Field(default="", description="What a person will know it by")
    expires_in: Annotated[int, Field(ge=1, le=3650)] | None = Field(default=None, description="Days; null: it does not")


@routes.post("", dependencies=[requires(Scope.ADMIN)], status_code=201, response_model=IssuedToken)
async def issue_token(body: NewToken, rest: RestDep) -> Response:
    """Issue a token, and show it: once, since only its hash is kept. It counts from the answer on.

    Nobody issues scopes that they do not have. The operator may name any user, who comes into being by that."""
    scopes: tuple[ScopeName, ...] = tuple(scope for scope in SCOPES if scope in body.scopes)
    require_scopes(rest.identity, (Scope(scope) for scope in scopes))
    wanted = TokenRequest(app=body.app, scopes=scopes, label=body.label, days=body.expires_in)
    issued = await rest.service.issue_token(_keeper(rest, body.user_id), wanted)
    return json_answer(issued, 201, {"Cache-Control": "no-store"})


@routes.get("", dependencies=[requires(Scope.ADMIN)])
async def list_tokens(params: Annotated[TokenListParams, Query()], rest: RestDep) -> TokenPage:
    """The user's tokens, newest first, also those that count no more; never what their bearers send."""
    return await rest.service.tokens(_keeper(rest, params.user_id), page=params.page, size=params.size)


@routes.delete("/{token_id}", dependencies=[requires(Scope.ADMIN)])
async def revoke_token(token_id: TokenId, params: Annotated[Params, Query()], rest: RestDep) -> Message:
    """Revoke a token, for good: after the answer it counts nowhere."""
    await rest.service.revoke_token(_keeper(rest, params.user_id), token_id)
    return Message(message="Successfully revoked the token")


def _keeper(rest: Rest, user_id: str | None) -> Caller:
    """Who keeps the tokens that a request is about: the user it names, which only the operator may do for others."""
    identity = rest.identity
    if identity is not None and identity.operator:
        return Caller(user_id or identity.user, OWNER_APP, identity.credential)
    return rest.caller(user_id)

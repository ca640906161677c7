"""Tokens from the command to the proof: a token counts from its event on, and no more from its revocation on."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import pytest
from contracts import subjects
from contracts.commands import IssueToken, RevokeToken
from contracts.errors import Unavailable
from contracts.events import TokenIssued, TokenRevoked
from contracts.tokens import BearerToken, ScopeName, new_token
from gateway.auth.identity import Unauthenticated
from gateway.auth.tokens import TokenAuthenticator
from gateway.service import Scope
from runtime.keys import KeyStore
from support.log_events import UID
from support.servers import Log, Servers, opened
from support.writer import Sender, writing

sharded = pytest.mark.parametrize("shards", [1, 3], indirect=True)
OTHER_UID = "f" * 32


@pytest.fixture
async def ada(log: Log) -> AsyncGenerator[Sender]:
    """A user with an app, and a writer that runs."""
    async with writing(log):
        yield await (await Sender(log).open()).register()


def gateway(log: Log, now: datetime | None = None) -> TokenAuthenticator:
    """Another gateway each time: nothing cached."""
    clock = {} if now is None else {"now": lambda: now}
    return TokenAuthenticator(log.js, KeyStore(log.js, log.keys.master), log.shards, "Ada", **clock)


def issuing(
    token: BearerToken, *scopes: ScopeName, app: str = "cursor", expires_at: datetime | None = None
) -> IssueToken:
    return IssueToken(
        token_id=token.token_id, hash=token.hash, user="Ada", app=app, scopes=scopes or ("read",),
        expires_at=expires_at,
    )  # fmt: skip


@sharded
async def test_a_token_is_issued_once_revoked_once_and_each_is_one_event(ada: Sender) -> None:
    token = new_token(UID)
    command = issuing(token, "read", "write")
    assert [(await ada.do(command)).status for _ in range(2)] == ["done", "nothing"]
    revoke = RevokeToken(token_id=token.token_id)
    assert [(await ada.do(revoke)).status for _ in range(2)] == ["done", "nothing"]
    history = [event.payload for event in await ada.history(subjects.token(UID, token.token_id))]
    assert history == [TokenIssued(**command.model_dump()), TokenRevoked(token_id=token.token_id)]
    again = await ada.do(issuing(token, "read", "write"))
    assert again.status == "nothing", "what was revoked is not issued again"
    other = await ada.do(issuing(BearerToken(UID, token.token_id, "another secret")))
    assert (other.status, other.code) == ("refused", "conflict")


async def test_what_was_never_issued_cannot_be_revoked(ada: Sender) -> None:
    outcome = await ada.do(RevokeToken(token_id=new_token(UID).token_id))
    assert (outcome.status, outcome.code) == ("refused", "not_found")
    wild = await ada.do(RevokeToken(token_id="*"))
    assert (wild.status, wild.code) == ("refused", "invalid_input")


async def test_neither_names_nor_the_secret_stand_in_the_log(ada: Sender) -> None:
    token = new_token(UID)
    await ada.do(issuing(token, app="a telling name"))
    for stream in ("MEMLOG_EVENTS", "MEMLOG_COMMANDS"):
        for shard in range(ada.log.shards):
            info = await ada.log.js.stream_info(f"{stream}_{shard}")
            for sequence in range(1, info.state.last_seq + 1):
                stored = (await ada.log.js.get_msg(f"{stream}_{shard}", sequence)).data or b""
                assert token.secret.encode() not in stored and b"a telling name" not in stored


@sharded
async def test_a_token_proves_user_app_and_scopes_until_it_is_revoked(log: Log, ada: Sender) -> None:
    token = new_token(UID)
    with pytest.raises(Unauthenticated):
        await gateway(log).authenticate(token.text)
    await ada.do(issuing(token, "read", "delete"))
    proven = gateway(log)
    identity = await proven.authenticate(token.text)
    assert (identity.user, identity.app, identity.scopes) == ("Ada", "cursor", {Scope.READ, Scope.DELETE})
    assert (identity.credential, identity.operator) == (f"token:{token.token_id}", False)
    await ada.do(RevokeToken(token_id=token.token_id))
    for each in (proven, gateway(log)):
        with pytest.raises(Unauthenticated):
            await each.authenticate(token.text)


async def test_only_the_default_users_own_token_with_the_scope_admin_is_the_operators(log: Log, ada: Sender) -> None:
    cases: list[tuple[str, tuple[ScopeName, ...], bool]] = [
        ("dashboard", ("admin",), True),
        ("dashboard", ("read", "write", "delete"), False),
        ("cursor", ("admin",), False),
    ]
    for app, scopes, operator in cases:
        token = new_token(UID)
        await ada.do(issuing(token, *scopes, app=app))
        assert (await gateway(log).authenticate(token.text)).operator is operator, (app, scopes)
        someone = TokenAuthenticator(log.js, log.keys, log.shards, "somebody else")
        assert not (await someone.authenticate(token.text)).operator


async def test_a_token_expires_by_the_clock(log: Log, ada: Sender) -> None:
    end = datetime(2026, 12, 1, tzinfo=UTC)
    token = new_token(UID)
    await ada.do(issuing(token, expires_at=end))
    before = gateway(log, end - timedelta(milliseconds=1))
    assert (await before.authenticate(token.text)).expires_at == end
    with pytest.raises(Unauthenticated, match="expired"):
        await gateway(log, end).authenticate(token.text)


async def test_what_is_almost_a_token_counts_as_little_as_what_is_none(log: Log, ada: Sender) -> None:
    token, other = new_token(UID), new_token(UID)
    await ada.do(issuing(token))
    await ada.do(issuing(other))
    forged = [
        BearerToken(UID, token.token_id, other.secret).text,
        BearerToken(OTHER_UID, token.token_id, token.secret).text,
        new_token(UID).text,
        token.text[:-1],
        f"{token.text}A",
        token.text.replace("memlog_", "memlog_*", 1),
        "memlog_",
    ]
    for text in forged:
        assert gateway(log).knows(text)
        with pytest.raises(Unauthenticated) as refused:
            await gateway(log).authenticate(text)
        assert token.secret not in refused.value.message
    assert not gateway(log).knows("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")


async def test_a_token_of_a_user_whose_key_is_destroyed_counts_no_more(log: Log, ada: Sender) -> None:
    token = new_token(UID)
    await ada.do(issuing(token))
    await log.keys.destroy(UID)
    with pytest.raises(Unauthenticated):
        await gateway(log).authenticate(token.text)


async def test_while_nats_is_away_nobody_can_tell_and_nobody_is_let_in(servers: Servers) -> None:
    async with opened(servers.settings()) as log:
        token = new_token(UID)
        async with writing(log):
            ada = await (await Sender(log).open()).register()
            await ada.do(issuing(token))
        assert await gateway(log).authenticate(token.text)
        await servers.stop()
        with pytest.raises(Unavailable):
            await gateway(log).authenticate(token.text)

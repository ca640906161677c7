"""Access tokens of an issuer: which count, for whom, and what happens when keys rotate or the issuer is away."""

import base64
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from contracts.errors import ConfigurationError, Unavailable
from gateway.asking import Scope
from gateway.auth.identity import Unauthenticated
from gateway.auth.issuer import IssuerKeys
from gateway.auth.oidc import OidcAuthenticator, OidcOptions, audiences
from support.issuer import Issuer

OPTIONS = OidcOptions(
    issuer="http://127.0.0.1:1/realm",
    audiences=audiences(None, "https://memlog.test"),
    owner_clients=("board",),
    operator="root",
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
async def http(issuer: Issuer) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(issuer)) as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(issuer: Issuer, http: httpx.AsyncClient, clock: Clock) -> IssuerKeys:
    return IssuerKeys(issuer.url, http, clock)


@pytest.fixture
def proving(keys: IssuerKeys) -> OidcAuthenticator:
    return OidcAuthenticator(keys, OPTIONS)


async def test_a_token_names_user_app_and_scopes(issuer: Issuer, proving: OidcAuthenticator) -> None:
    token = issuer.token()
    assert proving.knows(token)
    found = await proving.authenticate(token)
    assert (found.user, found.app, found.scopes) == ("ada", "cursor", {Scope.READ, Scope.WRITE})
    assert not found.operator
    assert found.credential.startswith("oidc:") and "ada" not in found.credential and "cursor" not in found.credential
    assert found.expires_at is not None and abs(found.expires_at.timestamp() - time.time() - 300) < 60


async def test_each_token_is_told_from_every_other(issuer: Issuer, proving: OidcAuthenticator) -> None:
    first = await proving.authenticate(issuer.token(jti="1"))
    assert first.credential != (await proving.authenticate(issuer.token(jti="2"))).credential


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "https://elsewhere.test"}, "another server"),
        ({"aud": "https://memlog.test.evil.test/"}, "another server"),
        ({"aud": None}, "aud"),
        ({"aud": []}, "another server"),
        ({"aud": {"https://memlog.test": 1}}, "another server"),
        ({"iss": "http://127.0.0.1:1/other"}, "issuer"),
        ({"exp": 1_700_000_000}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "does not count"),
        ({"nbf": 4_000_000_000}, "not yet valid"),
        ({"sub": None}, "no user"),
        ({"sub": ""}, "no user"),
        ({"client_id": None}, "no client"),
        ({"client_id": ["cursor"]}, "no client"),
        ({"client_id": "dashboard"}, "the owner's"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
async def test_a_token_that_is_not_for_us_counts_for_nothing(
    issuer: Issuer, proving: OidcAuthenticator, claims: dict[str, Any], why: str
) -> None:
    token = issuer.token(**claims) if claims.get("sub", "") is not None else issuer.token(sub=None)
    with pytest.raises(Unauthenticated, match=why):
        await proving.authenticate(token)


async def test_what_somebody_else_signed_counts_for_nothing(issuer: Issuer, proving: OidcAuthenticator) -> None:
    forger = Issuer()
    with pytest.raises(Unauthenticated, match="Signature"):
        await proving.authenticate(forger.token())
    head, body, signature = issuer.token().split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    other = base64.urlsafe_b64encode(json.dumps({**said, "sub": "eve"}).encode()).decode().rstrip("=")
    with pytest.raises(Unauthenticated, match="Signature"):
        await proving.authenticate(f"{head}.{other}.{signature}")


async def test_only_signatures_that_the_issuer_alone_can_make_count(issuer: Issuer, proving: OidcAuthenticator) -> None:
    claims = {"iss": issuer.url, "aud": "https://memlog.test", "sub": "ada", "client_id": "c", "exp": 4_000_000_000}
    shared = jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": "first"})
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "first"})  # pyright: ignore[reportArgumentType]
    keyless = jwt.encode(claims, issuer.keys["first"], algorithm="ES256")
    for token in (shared, unsigned, keyless, issuer.token(header={"typ": "secevent+jwt"})):
        with pytest.raises(Unauthenticated):
            await proving.authenticate(token)
    assert issuer.asked == 0, "and nobody is asked for the keys of such"


@pytest.mark.parametrize("token", ["..", "a.b.c", "é.é.é", "e30.e30.", "." * 40_000, f"{'a' * 20_000}.b.c"], ids=len)
async def test_what_is_no_token_is_refused(proving: OidcAuthenticator, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await proving.authenticate(token)


async def test_a_token_may_be_for_the_server_or_for_one_of_its_resources(
    issuer: Issuer, keys: IssuerKeys, proving: OidcAuthenticator
) -> None:
    for audience in ("https://memlog.test", "https://memlog.test/mcp", ["other", "https://memlog.test/"]):
        assert (await proving.authenticate(issuer.token(aud=audience))).user == "ada"
    exact = OidcAuthenticator(keys, replace(OPTIONS, audiences=audiences("memlog-api", "https://memlog.test")))
    assert (await exact.authenticate(issuer.token(aud="memlog-api"))).user == "ada"
    with pytest.raises(Unauthenticated):
        await exact.authenticate(issuer.token())


async def test_the_clients_of_the_owner_speak_for_the_person(issuer: Issuer, proving: OidcAuthenticator) -> None:
    scope = "memlog:read memlog:admin"
    person = await proving.authenticate(issuer.token(client_id="board", scope=scope))
    assert (person.app, person.operator) == ("dashboard", False)
    assert (await proving.authenticate(issuer.token(client_id="board", scope=scope, sub="root"))).operator
    for client, allowed in (("board", "memlog:read"), ("cursor", scope)):
        token = issuer.token(sub="root", client_id=client, scope=allowed)
        assert not (await proving.authenticate(token)).operator


async def test_user_client_and_scopes_can_stand_in_other_claims(issuer: Issuer, keys: IssuerKeys) -> None:
    proving = OidcAuthenticator(keys, replace(OPTIONS, user_claim="email", scope_prefix=""))
    token = issuer.token(email="ada@b.test", client_id=None, azp="zed", scope=None, scp=["read", "delete", "other"])
    found = await proving.authenticate(token)
    assert (found.user, found.app, found.scopes) == ("ada@b.test", "zed", {Scope.READ, Scope.DELETE})


async def test_a_rotated_key_is_found_and_made_up_ones_do_not_make_us_ask(
    issuer: Issuer, proving: OidcAuthenticator, clock: Clock
) -> None:
    await proving.authenticate(issuer.token())
    issuer.rotate("second")
    clock.now += 11
    assert (await proving.authenticate(issuer.token())).user == "ada"
    assert issuer.asked == 2
    for number in range(50):
        with pytest.raises(Unauthenticated, match="does not have"):
            await proving.authenticate(issuer.token(header={"kid": f"made up {number}"}))
    assert issuer.asked == 2


async def test_a_key_that_the_issuer_took_back_counts_no_more(
    issuer: Issuer, proving: OidcAuthenticator, clock: Clock
) -> None:
    old = issuer.token(exp=4_000_000_000)
    await proving.authenticate(old)
    issuer.rotate("second", forget=True)
    clock.now += 301
    with pytest.raises(Unauthenticated, match="does not have"):
        await proving.authenticate(old)


async def test_while_the_issuer_is_away_its_last_word_holds_for_an_hour(
    issuer: Issuer, proving: OidcAuthenticator, clock: Clock
) -> None:
    token = issuer.token()
    await proving.authenticate(token)
    issuer.away = True
    clock.now += 3000
    assert (await proving.authenticate(token)).user == "ada"
    clock.now += 601
    with pytest.raises(Unavailable, match="502"):
        await proving.authenticate(token)
    issuer.away = False
    clock.now += 11
    assert (await proving.authenticate(token)).user == "ada"


async def test_an_issuer_that_was_never_there_is_no_reason_to_let_anybody_in(
    issuer: Issuer, proving: OidcAuthenticator
) -> None:
    issuer.away = True
    with pytest.raises(Unavailable, match="cannot be asked for its keys"):
        await proving.authenticate(issuer.token())


async def test_metadata_of_another_issuer_are_not_believed(issuer: Issuer, proving: OidcAuthenticator) -> None:
    issuer.says = "https://evil.test"
    with pytest.raises(Unavailable, match="another issuer"):
        await proving.authenticate(issuer.token())


async def test_an_issuer_can_speak_rfc_8414_alone(issuer: Issuer, proving: OidcAuthenticator) -> None:
    issuer.only_rfc_8414 = True
    assert (await proving.authenticate(issuer.token())).user == "ada"


@pytest.mark.parametrize("url", ["http://idp.test", "ftp://idp.test", "https://", "idp.test", "http://10.0.0.1"])
def test_an_issuer_is_asked_over_https_only(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        IssuerKeys(url, httpx.AsyncClient())


def test_without_an_audience_nothing_is_served() -> None:
    with pytest.raises(ConfigurationError, match="MEMLOG_PUBLIC_URL"):
        OidcOptions(issuer="https://idp.test", audiences=audiences(None, None))

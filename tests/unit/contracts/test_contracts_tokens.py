"""Tokens in clear: their form says whose they are, and their secret stands nowhere."""

from contracts.events import TokenIssued
from contracts.tokens import BearerToken, is_secret_of, new_token, parse_token, secret_hash
from hypothesis import given
from hypothesis import strategies as st

UID = "0123456789abcdef0123456789abcdef"


def test_a_new_token_is_read_back_from_what_its_bearer_sends() -> None:
    token = new_token(UID)
    assert token.uid == UID
    assert parse_token(token.text) == token


def test_the_form_of_tokens_never_changes() -> None:
    text = f"memlog_{UID}_018f3a5c555570008000000000000005_{'aB3_-' * 8}xyz"
    assert parse_token(text) == BearerToken(UID, "018f3a5c555570008000000000000005", f"{'aB3_-' * 8}xyz")
    assert secret_hash("secret") == "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"


def test_no_two_tokens_are_alike_and_later_ones_sort_behind() -> None:
    tokens = [new_token(UID) for _ in range(100)]
    assert len({token.secret for token in tokens}) == len({token.token_id for token in tokens}) == 100
    assert tokens[0].token_id[:12] <= tokens[-1].token_id[:12]


@given(st.text(alphabet="memlog_0123456789abcdefXYZ-. \n*>", max_size=120))
def test_what_is_not_whole_is_no_token(text: str) -> None:
    whole = new_token(UID).text
    assert parse_token(text) is None
    assert parse_token(whole + text) is None or not text
    assert parse_token(text + whole) is None or not text
    assert parse_token(whole[:-1]) is None


def test_the_hash_is_of_this_secret_and_no_other() -> None:
    one, other = new_token(UID), new_token(UID)
    assert is_secret_of(one.secret, one.hash)
    assert not is_secret_of(other.secret, one.hash)
    assert not is_secret_of(one.secret, "")


def test_the_secret_shows_in_no_text_that_is_made_of_a_token_or_its_event() -> None:
    token = new_token(UID)
    event = TokenIssued(token_id=token.token_id, hash=token.hash, user="ada", app="cursor", scopes=("read",))
    assert token.secret not in repr(token)
    assert token.secret not in event.model_dump_json()

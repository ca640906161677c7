import pytest
from gateway.mcp.identity import client_name, name_in_session, new_session_id
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(max_size=300))
def test_a_session_id_is_visible_ascii_and_carries_the_clients_name(raw: str) -> None:
    name = client_name({"name": raw})
    if name is not None:
        session = new_session_id(name)
        assert all("!" <= char <= "~" for char in session)
        assert name_in_session(session) == name


@pytest.mark.parametrize("info", [None, "x", {}, {"name": 5}, {"name": ""}, {"name": " \x00"}, {"name": "dashboard"}])
def test_a_client_without_a_usable_name_has_none(info: object) -> None:
    assert client_name(info) is None


def test_a_clients_name_is_cleaned_of_control_characters_and_cut() -> None:
    assert client_name({"name": " Claude\x00\n Code "}) == "Claude Code"
    assert client_name({"name": "x" * 1000}) == "x" * 256

"""No request of one user returns anything of another's, or shows that it exists (G9)."""

from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from support.isolation import Person, Probe, leak, live, probes, readings
from support.stack import Stack

pytestmark = pytest.mark.guarantee("G9")
USERS = st.integers(0, 1)


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client


@pytest.fixture
def ada(http: httpx.Client) -> Person:
    person = Person(http)
    live(person)
    return person


@pytest.fixture
def bob(http: httpx.Client) -> Person:
    person = Person(http)
    live(person)
    return person


def test_an_id_of_another_user_is_like_a_random_one_in_every_route_and_tool(
    http: httpx.Client, ada: Person, bob: Person
) -> None:
    paths = readings(http)
    # The audit grows by what the owner reads meanwhile, in this very test; a timeline ends now.
    moving = ("/api/v1/audit", "/api/v1/memories/timeline")
    before = {path: ada.ask("GET", path).text for path in paths if path not in moving}
    for path in paths:
        assert not leak(bob.ask("GET", path).text, ada), path
    tried = probes(http)
    assert len(tried) > 40, [probe.name for probe in tried]
    told = [probe.tell_apart(bob, id_, ada) for probe in tried for id_ in probe.of(ada)[:4]]
    assert not [words for words in told if words]
    for path in before:
        assert ada.ask("GET", path).text == before[path], f"{path} changed by what another user asked"
        assert ada.mark not in bob.ask("GET", path).text  # (their ids are: in what became of Bob's own requests)


def test_what_others_remember_changes_neither_the_hits_nor_the_scores_of_a_search(
    http: httpx.Client, bob: Person
) -> None:
    def found() -> list[tuple[str, float]]:
        rows = bob.tool("cursor", "search_memory", query="Where is the quixotic gate?", limit=20)["results"]
        return [(row["id"], row["score"]) for row in rows]

    before = found()
    assert before
    for number in range(5):
        text = f"The quixotic gate {number} is at {bob.mark}"
        Person(http).tool("cursor", "add_memories", text=text, categories=["gates"], infer=False)
    assert found() == before


def test_positions_cursors_and_keys_of_another_user_lead_to_nothing_of_theirs(
    http: httpx.Client, ada: Person, bob: Person
) -> None:
    position = ada.ask("GET", "/api/v1/events", limit=5).json()["next"]
    cursor = ada.tool("cursor", "list_memories", limit=1)["next_cursor"]
    assert not leak(bob.ask("GET", "/api/v1/events", after=position).text, ada)
    for path in ("/api/v1/memories", f"/api/v1/memories/{bob.ids['memory'][3]}"):
        answer = bob.ask("GET", path, as_of=position)
        assert answer.status_code in (200, 404) and not leak(answer.text, ada), answer.text
    listed = bob.tool("cursor", "list_memories", limit=50, cursor=cursor)["results"]
    assert {row["id"] for row in listed} <= {*bob.seen} and not leak(str(listed), ada)

    body = {"text": f"The key of {ada.mark}", "idempotency_key": "the same", "categories": ["keys"], "infer": False}
    mine = ada.ask("POST", "/api/v1/memories", body=body).json()
    theirs = bob.ask("POST", "/api/v1/memories", body=body).json()
    assert (mine["event"], theirs["event"]) == ("ADD", "ADD")
    assert mine["id"] != theirs["id"] and mine["app_id"] != theirs["app_id"]


class TwoUsers(RuleBasedStateMachine):
    """Both write and change what they have, in any order; whatever one then asks for, it is theirs or like nothing."""

    http: httpx.Client
    tried: list[Probe]
    paths: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.people = [Person(self.http), Person(self.http)]
        self.texts: list[dict[str, tuple[str, str]]] = [{}, {}]
        for person in self.people:
            live(person)
        for number, person in enumerate(self.people):
            listed = person.ask("GET", "/api/v1/memories", size=100).json()["items"]
            self.texts[number] = {row["id"]: (row["content"], row["state"]) for row in listed}

    @rule(who=USERS, app=st.sampled_from(["cursor", "notes", "third"]), same=st.booleans(), number=st.integers(0, 3))
    def adds(self, who: int, app: str, same: bool, number: int) -> None:
        person = self.people[who]
        text = f"Note {number}" if same else f"{person.mark} note {number}"
        added = person.tool(app, "add_memories", text=text, categories=["notes"], infer=False)["results"][0]
        known = self.texts[who].get(added["id"])
        active = [id_ for id_, (content, state) in self.texts[who].items() if (content, state) == (text, "active")]
        assert (added["event"] == "NONE") == bool(active), "whether it was there already is one's own affair"
        if known is None:
            self.texts[who][person.keep("memory", added["id"])] = (text, "active")

    @rule(who=USERS, pick=st.integers(0, 99), state=st.sampled_from(["active", "paused", "archived"]))
    def changes_a_state(self, who: int, pick: int, state: str) -> None:
        id_ = sorted(self.texts[who])[pick % len(self.texts[who])]
        body = {"memory_ids": [id_], "state": state}
        assert self.people[who].ask("POST", "/api/v1/memories/actions/pause", body=body).status_code == 200
        self.texts[who][id_] = (self.texts[who][id_][0], state)

    @rule(who=USERS, pick=st.integers(0, 99))
    def deletes(self, who: int, pick: int) -> None:
        if len(self.texts[who]) > 1:
            id_ = sorted(self.texts[who])[pick % len(self.texts[who])]
            assert self.people[who].ask("DELETE", "/api/v1/memories", body={"memory_ids": [id_]}).status_code == 200
            del self.texts[who][id_]

    @rule(who=USERS, active=st.booleans())
    def pauses_an_app(self, who: int, active: bool) -> None:
        person = self.people[who]
        path = f"/api/v1/apps/{person.ids['app'][1]}"
        assert person.ask("PUT", path, is_active=active).status_code == 200

    @rule(who=USERS, pick=st.integers(0, 999), other=st.integers(0, 99))
    def asks_for_what_is_anothers(self, who: int, pick: int, other: int) -> None:
        probe, owner = self.tried[pick % len(self.tried)], self.people[1 - who]
        ids = probe.of(owner)
        assert not probe.tell_apart(self.people[who], ids[other % len(ids)], owner)

    @rule(who=USERS, pick=st.integers(0, 99))
    def reads(self, who: int, pick: int) -> None:
        person, owner = self.people[who], self.people[1 - who]
        path = self.paths[pick % len(self.paths)]
        assert owner.mark not in person.ask("GET", path).text, path
        listed = person.ask("GET", "/api/v1/memories", size=100).json()
        assert {row["id"]: (row["content"], row["state"]) for row in listed["items"]} == self.texts[who]
        assert person.ask("GET", "/api/v1/stats").json()["total_memories"] == listed["total"] == len(self.texts[who])
        found = self.http.get("/api/v1/search", params={"user_id": person.name, "query": f"note {owner.mark}"}).json()
        assert {row["id"] for row in found["results"]} <= self.texts[who].keys()


def test_two_users_never_learn_of_each_other_whatever_they_do(http: httpx.Client) -> None:
    TwoUsers.http, TwoUsers.tried, TwoUsers.paths = http, probes(http), readings(http)
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        TwoUsers,
        settings=settings(
            max_examples=4, stateful_step_count=40, deadline=None, derandomize=True, database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip

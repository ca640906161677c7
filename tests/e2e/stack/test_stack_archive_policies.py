"""Archive policies: what nobody changed for long is put away, once, by a policy's hand, and never what changed."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from contracts import ids
from contracts.codec import Meta, encode, read_envelope
from contracts.commands import AddMemory, ArchiveMemories
from contracts.errors import Unavailable
from contracts.positions import Position
from contracts.streams import READ_MODELS, commands, events
from memory_writer.policies import archiving
from memory_writer.policies.archiving import ACTOR, Archiving
from nats.js import JetStreamContext
from runtime.clock import utc_now
from runtime.waiting import Positions
from support.inside import Inside
from support.log_events import publish_raw
from support.stack import eventually

POLICIES = "/api/v1/archive-policies"
MEMORIES = "/api/v1/memories"


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def remember(memlog: Inside, who: str, text: str, app: str = "notes", **more: Any) -> str:
    body = {"user_id": who, "text": text, "app": app, "infer": False, **more}
    return (await memlog.http.post(MEMORIES, json=body)).raise_for_status().json()["id"]


async def remember_long_ago(memlog: Inside, who: str, text: str, days: float) -> str:
    """A memory of a user that is known, as if it had been added so many days ago."""
    uid = await memlog.uid(who)
    key = await memlog.log.keys.get(uid)
    command_id = ids.uuid7()
    app_id = ids.app_id(key.identity, "notes")
    at = utc_now() - timedelta(days=days)
    meta = Meta(command_id, uid, app_id, "rest", at, command_id, command_id)
    await publish_raw(memlog.log, encode(meta, AddMemory(text=text), key), uid=uid, command_id=command_id)
    memory_id = ids.memory_id(key.identity, text, 0)
    await eventually(lambda: _known(memlog, who, memory_id))
    return memory_id


async def _known(memlog: Inside, who: str, memory_id: str) -> bool:
    return (await memlog.http.get(f"{MEMORIES}/{memory_id}", params={"user_id": who})).status_code == 200


async def states(memlog: Inside, who: str) -> dict[str, str]:
    page = (await memlog.http.get(MEMORIES, params={"user_id": who, "size": 100})).raise_for_status().json()
    return {item["id"]: item["state"] for item in page["items"]}


async def archived(memlog: Inside, who: str, *wanted: str, seconds: float = 60) -> None:
    """These are put away, and nothing else is."""

    async def so() -> bool:
        return {id_ for id_, state in (await states(memlog, who)).items() if state == "archived"} == {*wanted}

    await eventually(so, seconds)


async def set_policy(memlog: Inside, who: str, **about: Any) -> dict[str, Any]:
    answer = await memlog.http.post(POLICIES, json={"user_id": who, **about})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def changes(memlog: Inside, who: str, memory_id: str) -> list[tuple[str, str, str]]:
    history = await memlog.http.get(f"{MEMORIES}/{memory_id}/history", params={"user_id": who})
    entries = history.raise_for_status().json()["entries"]
    return [(e["event"], e["actor"], e["app_name"]) for e in entries if e["event"] != "MemoryCategorized"]


@asynccontextmanager
async def runner(memlog: Inside, days: float = 0, js: JetStreamContext | None = None) -> AsyncGenerator[Archiving]:
    """What carries policies out, in so many days from now; `once()` of it is one run."""
    log = memlog.log
    positions = Positions(log.client)
    await positions.open()
    try:
        yield Archiving(
            0, log.client, js or log.js, log.events, positions, 3600, lambda: utc_now() + timedelta(days=days)
        )
    finally:
        await positions.close()


async def sent(memlog: Inside, who: str) -> int:
    """How many commands of policies the log holds for the user."""
    uid = await memlog.uid(who)
    shard = memlog.shard(uid)
    stored = await memlog.log.events.read_subject(commands(shard).name, f"memlog.cmd.{shard}.{uid}.>")
    found = [read_envelope(message.data) for message in stored]
    return sum(meta.actor == ACTOR and type_ == ArchiveMemories.type for meta, type_ in found)


async def settled(memlog: Inside) -> None:
    """The read models show all that the log holds."""
    positions = Positions(memlog.log.client)
    await positions.open()
    try:
        last = await memlog.log.events.last_sequence(events(0).name)
        assert await positions.wait((READ_MODELS,), Position(0, last), 10)
    finally:
        await positions.close()


async def test_a_policy_that_is_set_soon_puts_away_what_is_old_and_the_history_says_who_did_it(memlog: Inside) -> None:
    who = user("age")
    fresh = await remember(memlog, who, "The new kettle is blue")
    old = await remember_long_ago(memlog, who, "The old kettle was red", 40)
    policy = await set_policy(memlog, who, after_days=30)
    assert (policy["after_days"], policy["app_id"], policy["category"]) == (30, None, None)
    await archived(memlog, who, old)
    assert (await states(memlog, who))[fresh] == "active"
    assert (await changes(memlog, who, old))[-1] == ("MemoryArchived", "policy", "memlog")
    listed = (await memlog.http.get(POLICIES, params={"user_id": who})).json()
    assert listed == {"archive_policies": [{**policy, "due": 0}], "total": 1}


async def test_a_person_who_brings_a_memory_back_begins_its_time_anew(memlog: Inside) -> None:
    who = user("resume")
    await remember(memlog, who, "First of all")
    old = await remember_long_ago(memlog, who, "The key is under the mat", 40)
    await set_policy(memlog, who, after_days=30)
    await archived(memlog, who, old)
    body = {"user_id": who, "memory_ids": [old], "state": "active"}
    await memlog.http.post(f"{MEMORIES}/actions/pause", json=body)
    async with runner(memlog) as now, runner(memlog, days=29) as soon:
        await now.once()
        await soon.once()
        assert (now.named, soon.named) == (0, 0)
    assert await states(memlog, who) == {**(await states(memlog, who)), old: "active"}
    async with runner(memlog, days=31) as later:
        await later.once()
    await eventually(lambda: _is(memlog, who, old, "archived"))


async def _is(memlog: Inside, who: str, memory_id: str, state: str) -> bool:
    return (await states(memlog, who))[memory_id] == state


async def test_a_policy_is_for_an_app_for_a_category_or_for_all_and_is_tried_out_before(memlog: Inside) -> None:
    who = user("about")
    note = await remember(memlog, who, "Buy oat milk", categories=["shopping"])
    trip = await remember(memlog, who, "The night train leaves at ten", categories=["Travel"])
    code = await remember(memlog, who, "The build server is Hephaestus", "cursor", categories=["work"])
    paused = await remember(memlog, who, "Not now, not ever", "cursor")
    await memlog.http.post(f"{MEMORIES}/actions/pause", json={"user_id": who, "memory_ids": [paused]})
    apps = (await memlog.http.get("/api/v1/apps", params={"user_id": who})).json()["apps"]
    cursor = next(app["id"] for app in apps if app["name"] == "cursor")

    async def due(**about: Any) -> int:
        answer = await memlog.http.get(f"{POLICIES}/preview", params={"user_id": who, **about})
        return answer.raise_for_status().json()["due"]

    assert [await due(after_days=0), await due(after_days=1)] == [3, 0]
    assert [await due(after_days=0, app_id=cursor), await due(after_days=0, category="TRAVEL")] == [1, 1]

    await set_policy(memlog, who, after_days=0, category="travel")
    await archived(memlog, who, trip)
    policy = await set_policy(memlog, who, after_days=0, app_id=cursor)
    assert (policy["app_id"], policy["app_name"]) == (cursor, "cursor")
    await archived(memlog, who, trip, code)
    body = {"user_id": who, "after_days": 0}
    changed = await memlog.http.put(f"{POLICIES}/{policy['id']}", json=body)
    assert (changed.status_code, changed.json()["app_id"]) == (200, None), changed.text
    await archived(memlog, who, trip, code, note)
    assert (await states(memlog, who))[paused] == "paused"


async def test_a_removed_policy_puts_nothing_away_and_what_it_put_away_stays_so(memlog: Inside) -> None:
    who = user("removed")
    first = await remember(memlog, who, "The cat is called Schnurr")
    policy = await set_policy(memlog, who, after_days=0)
    await archived(memlog, who, first)
    gone = await memlog.http.delete(f"{POLICIES}/{policy['id']}", params={"user_id": who})
    assert gone.json() == {"message": "Successfully removed the archive policy"}
    await remember(memlog, who, "The dog is called Bell")
    await settled(memlog)
    async with runner(memlog, days=400) as later:
        await later.once()
        assert later.named == 0
    await archived(memlog, who, first)
    again = await memlog.http.delete(f"{POLICIES}/{policy['id']}", params={"user_id": who})
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


@pytest.mark.guarantee("G2")
async def test_killed_in_the_middle_and_started_again_each_memory_is_put_away_once(
    memlog: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "PAGE", 2)
    monkeypatch.setattr(archiving, "AT_ONCE", 2)
    who = user("killed")
    written = [await remember(memlog, who, f"Fact number {number} about bees") for number in range(5)]
    await set_policy(memlog, who, after_days=30)
    await settled(memlog)

    class Dying:
        """Publishes once, and then no more."""

        def __init__(self) -> None:
            self.left = 1

        async def publish(self, *args: Any, **kwargs: Any) -> Any:
            if not self.left:
                raise Unavailable("killed")
            self.left -= 1
            return await memlog.log.js.publish(*args, **kwargs)

    async with runner(memlog, 31, Dying()) as first:  # pyright: ignore[reportArgumentType]
        with pytest.raises(Unavailable, match="killed"):
            await first.once()
        assert first.named == 2
    async with runner(memlog, 31) as again, runner(memlog, 31) as beside:
        await asyncio.gather(again.once(), beside.once())
    await archived(memlog, who, *written)
    async with runner(memlog, 31) as third:
        await settled(memlog)
        await third.once()
        assert third.named == 0
    for memory_id in written:
        kinds = [event for event, _, _ in await changes(memlog, who, memory_id)]
        assert kinds == ["MemoryAdded", "MemoryArchived"]


async def test_policies_are_their_users_own_and_what_is_wrong_with_them_is_said(memlog: Inside) -> None:
    ann, bob = user("ann"), user("bob")
    hers = await remember(memlog, ann, "Mine, all mine")
    await remember(memlog, bob, "Bob was here")
    policy = await set_policy(memlog, bob, after_days=0)
    listed = await memlog.http.get(POLICIES, params={"user_id": ann})
    assert listed.json() == {"archive_policies": [], "total": 0}
    body = {"user_id": ann, "after_days": 0}
    assert (await memlog.http.put(f"{POLICIES}/{policy['id']}", json=body)).status_code == 404
    assert (await memlog.http.delete(f"{POLICIES}/{policy['id']}", params={"user_id": ann})).status_code == 404
    apps = (await memlog.http.get("/api/v1/apps", params={"user_id": bob})).json()["apps"]
    assert (await memlog.http.post(POLICIES, json={**body, "app_id": apps[0]["id"]})).status_code == 404
    for wrong in (
        {"after_days": -1},
        {"after_days": 40_000},
        {"after_days": 1.5},
        {"after_days": 1, "app_id": "x"},
        {"after_days": 1, "app_id": apps[0]["id"], "category": "travel"},
        {"after_days": 1, "category": " "},
        {"after_days": 1, "more": 1},
        {},
    ):
        answer = await memlog.http.post(POLICIES, json={"user_id": ann, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text
    assert (await states(memlog, ann))[hers] == "active"
    assert await sent(memlog, ann) == 0

"""One bad message delays nobody else and loses nothing (G12): it is kept, shown, and healed when its cause is gone."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from contracts import subjects
from contracts.codec import encode
from contracts.commands import PauseApp
from contracts.ids import new_uid, uuid7
from contracts.streams import commands, events
from runtime.dead_letters import REASON, SEQUENCE, STREAM, SUBJECT
from support.inside import Inside
from support.log_events import meta_of
from support.poison import DEAD, add, letters, refused_by_postgresql, user
from support.stack import eventually

pytestmark = pytest.mark.guarantee("G12")


async def part(memlog: Inside, name: str) -> dict[str, Any]:
    health = (await memlog.http.get("/api/v1/health")).json()
    return next(service for service in health["services"] if service["service"] == name)


async def is_found_at_once(memlog: Inside, who: str, text: str) -> None:
    """Add a text and search for it: the next request finds it."""
    await add(memlog, who, text)
    answer = await memlog.http.get("/api/v1/search", params={"user_id": who, "query": text})
    assert text in [found["memory"] for found in answer.json()["results"]]


async def test_a_text_that_the_database_refuses_delays_nobody_and_is_healed_by_redriving(memlog: Inside) -> None:
    ada, others = user("ada"), [user(f"other{n}") for n in range(4)]
    await add(memlog, ada, "An ordinary memory")
    await asyncio.gather(*(add(memlog, other, "hello") for other in others))
    async with refused_by_postgresql(memlog, "memory_texts", "text NOT LIKE '%poison%'"):
        poisoned = asyncio.ensure_future(
            memlog.http.post("/api/v1/memories", json={"user_id": ada, "text": "a poison text", "wait": "stored"})
        )
        await asyncio.gather(*(is_found_at_once(memlog, other, f"Note of {other}") for other in others))
        memory_id = (await poisoned).json()["results"][0]["id"]

        # Later events of the same memory wait behind it; another memory of the same user does not.
        changed = {"user_id": ada, "memory_content": "a revised text"}
        assert (await memlog.http.put(f"/api/v1/memories/{memory_id}", json=changed)).status_code == 202
        await is_found_at_once(memlog, ada, "Another memory of Ada")
        waiting = await letters(memlog)  # among them what the categorizer made of it
        assert {(x["consumer"], x["aggregate"]["id"]) for x in waiting} == {("read-models", memory_id)}
        assert len(waiting) >= 2
        assert "CheckViolation" in waiting[0]["reason"]
        assert waiting[1]["reason"].startswith("follows")

        audit = await part(memlog, "audit")
        assert audit["ok"] and "1 quarantined" in audit["detail"]
        assert audit["facts"]["quarantined.read-models.0"] == 1
        assert (await memlog.http.get("/readyz")).status_code == 200

        shown = (await memlog.http.get(f"{DEAD}/{waiting[0]['id']}", params={"user_id": ada})).json()
        assert shown["message"]["data"]["text"] == "a poison text"
        foreign = (await memlog.http.get(f"{DEAD}/{waiting[0]['id']}", params={"user_id": others[0]})).json()
        assert "data" not in foreign["message"], "content is its owner's"

        still = await memlog.http.post(f"{DEAD}/{waiting[0]['id']}/redrive")
        assert (still.status_code, still.json()["code"]) == (409, "redrive_failed")
        assert len(await letters(memlog)) >= 2

    healed = (await memlog.http.post(f"{DEAD}/redrive")).json()["results"]
    assert [x["status"] for x in healed] == ["healed"]
    assert healed[0]["letters"] >= 2
    assert await letters(memlog) == []
    assert "quarantined" not in ((await part(memlog, "audit"))["detail"] or "")
    detail = (await memlog.http.get(f"/api/v1/memories/{memory_id}", params={"user_id": ada})).json()
    assert (detail["text"], detail["version"]) == ("a revised text", 2)
    # What the tables say is what the log says.
    logged = (await memlog.http.get("/api/v1/events", params={"user_id": ada, "memory_id": memory_id})).json()["events"]
    history = (await memlog.http.get(f"/api/v1/memories/{memory_id}/history", params={"user_id": ada})).json()[
        "entries"
    ]
    said = [(e["type"], e["position"], e["data"]["text"]) for e in logged if "text" in e["data"]]
    assert [(e["event"], e["position"], e["text"]) for e in history if e["text"] is not None] == said


async def test_an_event_whose_seal_is_damaged_is_put_aside_and_can_be_given_up_on(memlog: Inside) -> None:
    ada, other = user("ada"), user("other")
    await asyncio.gather(add(memlog, ada, "An ordinary memory"), add(memlog, other, "hello"))
    uid, memory_id = await memlog.uid(ada), str(uuid.uuid4())
    [intact] = (
        await memlog.http.get("/api/v1/events", params={"user_id": ada, "type": "MemoryAdded", "limit": 1})
    ).json()["events"]
    stream = events(memlog.shard(uid)).name
    sequence = int(intact["position"].split("-")[1])
    stored = await memlog.log.events.message_at(stream, sequence)
    assert stored is not None
    damaged = {**json.loads(stored.data), "event_id": str(uuid.uuid4())}  # the seal is bound to the id
    subject = subjects.event_subject(memlog.shard(uid), subjects.memory(uid, memory_id))
    await memlog.log.js.publish(subject, json.dumps(damaged).encode())

    await is_found_at_once(memlog, other, "Nobody waits for a damaged event")

    async def put_aside() -> list[dict[str, Any]] | None:
        found = [letter for letter in await letters(memlog) if letter["aggregate"]["id"] == memory_id]
        return found if len(found) == 3 else None

    all_three = await eventually(put_aside)
    assert {letter["consumer"] for letter in all_three} == {"read-models", "index", "categorizer"}
    assert all("ontent" in letter["reason"] and "amaged" in letter["reason"] for letter in all_three)
    page = (await memlog.http.get("/api/v1/events", params={"user_id": ada, "memory_id": memory_id})).json()["events"]
    assert page[0]["unreadable"].startswith("content_damaged"), "the log shows it and does not stop there"
    assert (await memlog.http.post(f"{DEAD}/{all_three[0]['id']}/redrive")).status_code == 409
    for letter in all_three:
        assert (await memlog.http.delete(f"{DEAD}/{letter['id']}")).json()["status"] == "dropped"
    assert await letters(memlog) == []
    assert (await memlog.http.get(f"{DEAD}/{all_three[0]['id']}")).status_code == 404


async def test_a_read_that_cannot_be_noted_in_its_table_holds_up_no_other_read(memlog: Inside) -> None:
    ada = user("ada")
    memory_id = (await add(memlog, ada, "Who read this?"))["id"]
    path, who = f"/api/v1/memories/{memory_id}", {"user_id": ada}

    async def noted() -> list[str]:
        kinds = await memlog.sql("SELECT kind FROM memlog.access_log WHERE memory_id = $1", memory_id)
        return sorted(str(row[0]) for row in kinds)

    async with refused_by_postgresql(memlog, "access_log", "kind <> 'history'"):
        await memlog.http.get(f"{path}/history", params=who)
        await memlog.http.get(path, params=who)
        await eventually(lambda: _says(noted, ["get"]))
        [letter] = await letters(memlog)
        assert (letter["consumer"], letter["aggregate"]["kind"], letter["count"]) == ("access-log", "access", 1)
    assert (await memlog.http.post(f"{DEAD}/{letter['id']}/redrive")).json()["status"] == "healed"
    assert await noted() == ["get", "history"]


async def _says(question: Any, answer: object) -> bool:
    return await question() == answer


async def test_a_command_that_the_writer_rejects_is_sent_again_under_its_own_id(memlog: Inside) -> None:
    uid, command_id = new_uid(), uuid7()
    shard = memlog.shard(uid)
    subject = subjects.command_subject(shard, uid, command_id)
    await memlog.log.js.publish(subject, encode(meta_of(command_id, uid), PauseApp(app_id="nothing"), None))

    async def rejected() -> list[dict[str, Any]]:
        return await letters(memlog)

    [first] = await eventually(rejected)
    assert (first["consumer"], first["stream"], first["subject"]) == ("memory-writer", commands(shard).name, subject)
    assert first["aggregate"] == {"kind": "command", "id": command_id}
    assert first["reason"].startswith("key_missing")
    kept = await memlog.log.events.message_at("MEMLOG_DEAD", first["id"])
    assert kept is not None
    assert {SUBJECT, STREAM, SEQUENCE, REASON} <= kept.headers.keys()

    assert (await memlog.http.post(f"{DEAD}/{first['id']}/redrive")).json()["status"] == "sent_again"

    async def again() -> dict[str, Any] | None:
        return next((letter for letter in await letters(memlog) if letter["id"] != first["id"]), None)

    second = await eventually(again)
    assert second["sequence"] > first["sequence"]
    assert (await memlog.http.get(f"{DEAD}/{first['id']}")).status_code == 404

    await memlog.log.keys.create(uid)  # the cause is gone
    assert (await memlog.http.post(f"{DEAD}/{second['id']}/redrive")).json()["status"] == "sent_again"
    outcome = subjects.event_subject(shard, subjects.operation(uid, command_id))

    async def settled() -> bool:
        return len(await memlog.log.events.read_subject(events(shard).name, outcome)) == 1

    assert await eventually(settled)
    assert await letters(memlog) == []


async def test_a_command_that_is_rubbish_can_be_dropped(memlog: Inside) -> None:
    uid, command_id = new_uid(), uuid7()
    await memlog.log.keys.create(uid)
    await memlog.log.js.publish(subjects.command_subject(memlog.shard(uid), uid, command_id), b"rubbish")

    async def rejected() -> list[dict[str, Any]]:
        return await letters(memlog)

    [letter] = await eventually(rejected)
    assert letter["reason"].startswith("undecodable")
    shown = (await memlog.http.get(f"{DEAD}/{letter['id']}")).json()
    assert "data" not in shown["message"]
    assert (await memlog.http.delete(f"{DEAD}/{letter['id']}")).json()["status"] == "dropped"
    assert await letters(memlog) == []

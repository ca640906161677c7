"""Backup under load, restore, and the way to another machine, with everything running as a user would run it."""

import asyncio
import io
import json
import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from standalone.backup import bring_back
from standalone.key_exchange import export_keys, import_keys, read_keys
from standalone.log_export import export_log
from standalone.log_import import import_log
from support.command import PASSPHRASE, done
from support.homes import quiet
from support.stack import Stack, eventually, running_stack

_WRITERS = 4
_PACE_S = 0.1
_SHARDS = {"MEMLOG_SHARDS": "3"}


@dataclass(slots=True)
class Written:
    """A memory that was acknowledged, with the key under which it was sent."""

    who: str
    text: str
    key: str
    id: str | None


@dataclass(slots=True)
class Restored:
    """A Memlog that was backed up while it was written to, and restored elsewhere, where it runs."""

    stack: Stack
    before: list[Written]
    """Acknowledged before the backup began."""
    after: list[Written]
    """Acknowledged after it was done."""
    manifest: dict[str, Any]
    log: list[str]
    """The events of the first one in the clear, as it was stopped."""
    restored_log: list[str]
    """Those of the restored one, before it was started."""
    acknowledged: list[Written] = field(default_factory=list[Written])


async def send(http: httpx.AsyncClient, written: Written, wait: str = "stored") -> httpx.Response:
    body = {"user_id": written.who, "text": written.text, "idempotency_key": written.key, "app": "notes", "wait": wait}
    return await http.post("/api/v1/memories", json=body)


async def events(home: Path) -> list[str]:
    """The events of a home on which nothing runs, a line each."""
    file = io.BytesIO()
    await export_log(home, None, file, quiet)
    return [line for line in file.getvalue().decode().split("\n") if line.startswith('{"kind":"event"')]


@pytest.fixture(scope="module")
async def restored(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Restored]:
    folder = tmp_path_factory.mktemp("backup")
    first, second, file, keys = folder / "first", folder / "second", folder / "backup.tar", folder / "keys.json"
    acknowledged: list[Written] = []
    async with running_stack(first, **_SHARDS) as source:
        stop = asyncio.Event()

        async def write(number: int) -> None:
            async with source.http() as http:
                while not stop.is_set():
                    written = Written(f"writer {number} Ünal", f"fact {uuid.uuid4()} ✈", str(uuid.uuid4()), None)
                    answer = await send(http, written, ["accepted", "stored", "searchable", "stored"][number])
                    assert answer.status_code in (200, 202), answer.text
                    written.id = answer.json().get("id")
                    acknowledged.append(written)
                    if len(acknowledged) % 5 == 0 and written.id is not None:
                        changed = {"user_id": written.who, "memory_ids": [written.id]}
                        await http.request("DELETE", "/api/v1/memories", json=changed)
                    await asyncio.sleep(_PACE_S)  # load, and not more than has to be embedded thrice

        writers = [asyncio.create_task(write(number)) for number in range(_WRITERS)]
        try:

            async def enough(count: int) -> bool:
                return len(acknowledged) >= count

            await eventually(lambda: enough(40), 60)
            before = [*acknowledged]
            said = json.loads(await done(first, "backup", str(file), "--json"))
            covered = len(acknowledged)
            await eventually(lambda: enough(covered + 10), 60)
        finally:
            stop.set()
            await asyncio.gather(*writers)
        assert covered > len(before), "nothing was written while the backup was made"
        await export_keys(first, None, keys, PASSPHRASE)
    log = await events(first)
    await bring_back(second, None, file, quiet)
    await import_keys(second, None, read_keys(keys, PASSPHRASE), quiet)
    restored_log = await events(second)
    async with running_stack(second, **_SHARDS) as stack:
        yield Restored(stack, before, acknowledged[covered:], said, log, restored_log, acknowledged)


async def listed(stack: Stack, who: str) -> Counter[str]:
    """How often each text of a user is there, whatever its state."""
    texts: Counter[str] = Counter()
    async with stack.http() as http:
        params: dict[str, Any] = {"user_id": who, "page": 1, "size": 100}
        while True:
            page = (await http.get("/api/v1/memories/", params=params)).raise_for_status().json()
            texts.update(item["content"] for item in page["items"])
            if params["page"] >= page["pages"]:
                return texts
            params["page"] += 1


async def test_the_restored_log_is_the_first_one_up_to_the_backup_to_the_byte(restored: Restored) -> None:
    last = {shard: restored.manifest["streams"][f"MEMLOG_EVENTS_{shard}"]["last_sequence"] for shard in range(3)}
    should = [line for line in restored.log if (event := json.loads(line))["sequence"] <= last[event["shard"]]]
    assert restored.restored_log == should
    assert len(restored.log) > len(should) > 40


@pytest.mark.guarantee("G1", "G2")
async def test_every_memory_acknowledged_before_the_backup_is_there_once_and_every_key_still_works(
    restored: Restored,
) -> None:
    stack = restored.stack
    created = Counter(
        json.loads(line)["content"]["text"] for line in restored.restored_log if '"type":"MemoryAdded"' in line
    )
    async with stack.http() as http:

        async def again(who: str) -> Counter[str]:
            """Each write of a user once more; then, how often each text was ever added."""
            for written in restored.acknowledged:
                if written.who != who:
                    continue
                answer = await send(http, written)
                assert answer.status_code == 200, answer.text
                if written.id is not None and "id" in answer.json():  # no memory is shown that was deleted since
                    assert answer.json()["id"] == written.id
            assert (await send(http, Written(who, f"the last of {who}", who, None), "searchable")).status_code == 200
            assert set((await listed(stack, who)).values()) == {1}
            added: Counter[str] = Counter()
            after: str | None = ""
            while after is not None:
                params = {"user_id": who, "type": "MemoryAdded", "limit": 500, **({"after": after} if after else {})}
                page = (await http.get("/api/v1/events", params=params)).raise_for_status().json()
                added.update(event["data"]["text"] for event in page["events"])
                after = page.get("next")
            del added[f"the last of {who}"]
            return added

        added = sum(
            await asyncio.gather(*map(again, {written.who for written in restored.acknowledged})), Counter[str]()
        )
    assert created <= added
    assert added == Counter({written.text: 1 for written in restored.acknowledged})
    assert all(added[written.text] == 1 for written in restored.before)


async def test_the_way_to_another_machine_and_back_keeps_every_read_model_and_what_it_is_derived_from(
    restored: Restored, tmp_path: Path
) -> None:
    there, file = restored.stack.home, tmp_path / "all.jsonl"
    assert json.loads(await done(there, "verify", "--quick", "--json"))["result"] == "equal"
    async with restored.stack.http() as http:
        await http.get("/api/v1/search", params={"user_id": "writer 0 Ünal", "query": "a fact", "limit": 3})
        await categorized(http)
        hashes = await state_hashes(http)
        written = restored.before[0]
    await export_log(there, None, file, quiet, with_accesses=True)
    await import_file(tmp_path / "moved", file)
    async with running_stack(tmp_path / "moved", **_SHARDS) as moved, moved.http() as http:
        assert await state_hashes(http) == hashes
        again = await send(http, Written(written.who, written.text, str(uuid.uuid4()), None), "searchable")
        assert again.json()["id"] == written.id or written.id is None


async def import_file(home: Path, file: Path) -> None:
    with file.open("rb") as opened:
        await import_log(home, opened, file.name, 0, quiet)


async def categorized(http: httpx.AsyncClient) -> None:
    """Once no text waits for its categories: they would change what is written down next. How many wait is counted
    every 5 s."""
    none_since: float | None = None

    async def none_waits() -> bool:
        nonlocal none_since
        services = (await http.get("/api/v1/health")).raise_for_status().json()["services"]
        facts = next(service["facts"] for service in services if service["service"] == "categorizer")
        waiting = [facts[name] for name in facts if name.startswith("lag.")]
        now = asyncio.get_running_loop().time()
        none_since = (none_since or now) if waiting and not any(lag is None or lag for lag in waiting) else None
        return none_since is not None and now - none_since > 6

    await eventually(none_waits, 90)


async def state_hashes(http: httpx.AsyncClient) -> dict[str, str]:
    """Of every projection, once all of them stand still."""
    found: dict[str, str] = {}

    async def still() -> bool:
        nonlocal found
        before = found
        answer = await http.get("/api/v1/projections", params={"state_hash": True}, timeout=60)
        found = {p["name"]: p["state_hash"] for p in answer.raise_for_status().json()["projections"]}
        return found == before

    await eventually(still, 60)
    assert all(found.values()) and len(found) >= 3
    return found

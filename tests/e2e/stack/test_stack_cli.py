"""`memlog` as a person types it: what it says, in 80 columns, and how it ends."""

import asyncio
import json
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.inside import Inside
from support.poison import refused_by_postgresql
from support.stack import free_port


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    out: str
    said: str


async def run(memlog: Inside | None, *arguments: str, given: str = "", **settings: str) -> Ended:
    """Run `memlog` to its end, against `memlog` or (None) whatever it finds itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MEMLOG_")}
    url = {} if memlog is None else {"MEMLOG_URL": memlog.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "standalone", *arguments,
        env={**inherited, "COLUMNS": "80", "MEMLOG_HOME": "/nonexistent", **url, **settings},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, said = await process.communicate(given.encode())
    assert process.returncode is not None
    assert b"Traceback" not in said
    return Ended(process.returncode, out.decode(), said.decode())


@pytest.fixture
def who() -> str:
    return f"cli-{uuid.uuid4().hex[:8]}"


async def test_what_is_added_is_found_and_listed_in_80_columns(memlog: Inside, who: str) -> None:
    text = "My daughter is allergic to peanuts, " + "and so on " * 20
    added = await run(memlog, "add", "--user", who, "--category", "health", *text.split())
    assert (added.status, added.said) == (0, "")
    memory_id = added.out.removeprefix("Remembered as ").strip()
    assert (await run(memlog, "add", "--user", who, text)).out == f"Known already, as {memory_id}\n"
    for command in (["search", "which", "foods", "must", "my", "child", "avoid"], ["list"]):
        shown = await run(memlog, *command, "--user", who)
        assert shown.status == 0
        assert memory_id in shown.out and "health" in shown.out and "allergic to peanuts" in " ".join(shown.out.split())
        assert max(len(line) for line in shown.out.splitlines()) <= 80
        whole = json.loads((await run(memlog, *command, "--user", who, "--json")).out)
        assert (whole.get("results") or whole.get("items"))[0]["id"] == memory_id
    assert "No memory matches" in (await run(memlog, "list", "--user", who, "--query", "nothing like it")).out


async def test_a_list_and_a_search_may_be_of_the_past(memlog: Inside, who: str) -> None:
    for text in ("I live in Lisbon", "I live in Porto"):
        await memlog.http.post("/api/v1/memories", json={"user_id": who, "text": text})
    answer = await memlog.http.get("/api/v1/events", params={"user_id": who, "type": "MemoryAdded"})
    first = answer.json()["events"][0]
    for command, moment in ((["list"], first["position"]), (["search", "where do I live"], first["recorded_at"])):
        shown = await run(memlog, *command, "--user", who, "--as-of", moment)
        assert shown.status == 0 and "Lisbon" in shown.out and "Porto" not in shown.out
    refused = await run(memlog, "list", "--user", who, "--as-of", "yesterday")
    assert refused.status == 1 and "as_of: 'yesterday' is neither a time" in " ".join(refused.said.split())
    assert "No memory matches" in (await run(memlog, "list", "--user", who, "--as-of", "2020-01-01")).out


async def test_stdin_is_one_text_or_a_memory_a_line_once_however_often_it_is_sent(memlog: Inside, who: str) -> None:
    both = await run(memlog, "add", "--user", who, "--json", "-", given="first line\nsecond line\n")
    assert json.loads(both.out)["content"] == "first line\nsecond line"
    lines = "".join(f"Locker {number} is Ada's\n" for number in range(30))
    for _ in range(2):
        many = await run(memlog, "add", "--user", who, "--lines", "--key", "lockers", "-", given=lines)
        assert (many.status, many.out) == (0, "Added 30 memories.\n")
    listed = json.loads((await run(memlog, "list", "--user", who, "--limit", "1", "--json")).out)
    assert listed["total"] == 31


async def test_dead_letters_can_be_worked_off_from_the_command_line(memlog: Inside, who: str) -> None:
    assert (await run(memlog, "dead", "list")).out == "No dead letters: nothing was given up on.\n"
    async with refused_by_postgresql(memlog, "memory_texts", "text <> 'poison'"):
        added = await run(memlog, "add", "--user", who, "poison")
        assert added.status == 0 and "(stored; it is in the log, but read-models could not apply it" in added.out
        listed = await run(memlog, "dead", "list")
        assert "read-models" in listed.out and "CheckViolation" in listed.out
        letter = json.loads((await run(memlog, "dead", "list", "--json")).out)[0]
        shown = await run(memlog, "dead", "show", str(letter["id"]), "--user", who)
        assert '"text": "poison"' in shown.out
        status = await run(memlog, "status")
        assert status.status == 0 and "1 quarantined" in status.out
        failed = await run(memlog, "dead", "redrive", "--all")
        assert failed.status == 1 and "still cannot apply it" in failed.said
        unasked = await run(memlog, "dead", "drop", str(letter["id"]))
        assert unasked.status == 2 and "--yes" in unasked.said
    healed = await run(memlog, "dead", "redrive", "--all", "--json")
    assert [result["status"] for result in json.loads(healed.out)] == ["healed"]
    assert "poison" in (await run(memlog, "list", "--user", who)).out


async def test_where_nothing_answers_it_says_what_to_start_and_ends_with_3(tmp_path: Path) -> None:
    port = str(free_port())
    cases = (["status"], ["add", "x"], ["search", "x"], ["list"], ["dead", "list"], ["mcp", "--client", "zed"])
    ended = await asyncio.gather(*(run(None, *case, MEMLOG_PORT=port, MEMLOG_HOME=str(tmp_path)) for case in cases))
    for case, end in zip(cases, ended, strict=True):
        assert (end.status, end.out) == (3, ""), case
        assert end.said.count("\n") == 1 and end.said.rstrip().endswith("Start it with: memlog up"), case
    told = await run(None, "list", "--json", MEMLOG_PORT=port, MEMLOG_HOME=str(tmp_path))
    assert json.loads(told.said)["code"] == "not_reachable"


async def test_a_refusal_ends_with_1_and_wrong_usage_with_2(memlog: Inside, who: str) -> None:
    assert (await run(memlog, "dead", "show", "999999")).status == 1
    assert (await run(memlog, "add", "--user", who, " ")).status == 1
    assert (await run(memlog, "add", "--user", who, "--metadata", "[1]", "x")).status == 2
    assert (await run(memlog, "search")).status == 2
    assert (await run(memlog, "dead", "redrive")).status == 2
    assert (await run(memlog, "nonsense")).status == 2


@pytest.mark.parametrize(
    "command", [[], ["up"], ["status"], ["add"], ["search"], ["list"], ["mcp"], ["dead"], ["dead", "list"],
                ["dead", "show"], ["dead", "redrive"], ["dead", "drop"]],
)  # fmt: skip
async def test_every_command_explains_itself(command: list[str]) -> None:
    shown = await run(None, *command, "--help")
    assert shown.status == 0
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    if command and command != ["dead"]:
        assert "Examples:" in shown.out
    else:
        assert "memlog" in shown.out

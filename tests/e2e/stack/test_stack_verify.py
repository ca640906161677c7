"""`memlog verify` and `memlog anchor` on a whole Memlog: while it serves, and when it refuses an older log."""

import json
import shutil
from pathlib import Path

import pytest
from support.command_line import memlog
from support.stack import Stack, running_stack


async def add(stack: Stack, *texts: str) -> None:
    async with stack.http() as http:
        for text in texts:
            answer = await http.post("/api/v1/memories/", json={"user_id": "ada", "text": text, "app": "t"})
            answer.raise_for_status()
        (await http.get("/api/v1/memories/", params={"user_id": "ada"})).raise_for_status()


async def found_by(stack: Stack, *arguments: str) -> tuple[int, dict[str, str]]:
    """Exit status, and what differs: check → kind."""
    status, out, said = await memlog(stack.home, "verify", "--json", *arguments)
    assert out, said
    checks = json.loads(out)["checks"]
    return status, {check["name"]: check["difference"]["kind"] for check in checks if check["state"] == "differs"}


@pytest.mark.guarantee("G11")
async def test_nothing_differs_until_an_older_copy_of_the_log_is_put_back(tmp_path: Path) -> None:
    older, elsewhere = tmp_path / "older", tmp_path / "anchors.jsonl"
    async with running_stack(tmp_path / "home") as stack:
        await add(stack, "Ada likes tea", "Ada has a cat")
        shutil.copytree(stack.home / "nats", older)
        await add(stack, *(f"Note {number}" for number in range(4)))

        status, out, _ = await memlog(stack.home, "anchor", "--output", str(elsewhere))
        assert status == 0 and "MEMLOG_EVENTS_0 at " in out
        status, out, said = await memlog(stack.home, "verify", "--anchor", str(elsewhere))
        assert status == 0, out + said
        assert "Nothing differs" in out and "fold of index" in out and out.count("skipped") <= 1

        assert await stack.stop() == 0
        shutil.rmtree(stack.home / "nats")
        shutil.copytree(older, stack.home / "nats")
        with pytest.raises(AssertionError, match="has applied up to"):
            await stack.start()
        status, differs = await found_by(stack, "--anchor", str(elsewhere))
        assert status == 1
        assert differs == {
            "positions": "position_differs",
            "events": "message_missing",
            "reads": "message_missing",
            "anchors": "log_cut",
            f"anchors in {elsewhere}": "log_cut",
        }

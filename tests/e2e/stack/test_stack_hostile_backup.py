"""Backups that must not come in: broken, hostile, too large."""

import asyncio
import io
import json
import struct
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from support.openmemory_zip import APP, IMPORT, foreign, imported, page, user, zipped
from support.stack import Stack


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in foreign().items() if key not in keys}


def with_memory(**changes: Any) -> dict[str, Any]:
    return foreign(memories=[{**foreign()["memories"][0], **changes}])


def twice() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("memories.json", json.dumps(foreign()))
        archive.writestr("backup/memories.json", json.dumps(foreign()))
    return file.getvalue()


def flipped() -> bytes:
    data = bytearray(zipped(foreign()))
    data[120] ^= 0xFF
    return bytes(data)


def encrypted() -> bytes:
    data = bytearray(zipped(foreign()))
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<H", data, at + 8, 1)
    return bytes(data)


def bomb() -> bytes:
    """A little that says that it unpacks to very much."""
    data = bytearray(zipped(foreign()))
    struct.pack_into("<L", data, data.rfind(b"PK\x01\x02") + 24, 0x7FFFFFFF)
    return bytes(data)


def liar() -> bytes:
    """Much that says that it unpacks to a little."""
    data = bytearray(zipped(foreign()))
    struct.pack_into("<L", data, data.rfind(b"PK\x01\x02") + 24, 100)
    return bytes(data)


BROKEN: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "no zip": (lambda: b"hello", 400, "not a zip"),
    "nothing": (lambda: b"", 400, "not a zip"),
    "cut": (lambda: zipped(foreign())[:-40], 400, "zip"),
    "cut at its beginning": (lambda: zipped(foreign())[300:], 400, "zip"),
    "flipped bits": (flipped, 400, "damaged"),
    "no memories.json": (lambda: zipped(foreign(), name="other.json"), 400, "memories.json is missing"),
    "memories.json twice": (twice, 400, "more than once"),
    "path traversal": (lambda: zipped(foreign(), ("../../etc/cron.d/evil", b"x")), 400, "leads out of it"),
    "absolute path": (lambda: zipped(foreign(), ("/etc/evil", b"x")), 400, "leads out of it"),
    "windows path": (lambda: zipped(foreign(), ("..\\evil", b"x")), 400, "leads out of it"),
    "encrypted": (encrypted, 400, "encrypted"),
    "many members": (lambda: zipped(foreign(), *((f"m{n}", b"") for n in range(200))), 400, "members"),
    "bomb": (bomb, 413, "unpacks to more"),
    "bomb that lies": (liar, 400, "memories.json"),
    "no JSON": (lambda: zipped(b"nothing here"), 400, "memories.json"),
    "cut JSON": (lambda: zipped(json.dumps(foreign()).encode()[:-30]), 400, "memories.json"),
    "more behind": (lambda: zipped(json.dumps(foreign()).encode() + b"{}"), 400, "behind its end"),
    "a list": (lambda: zipped([foreign()]), 400, "expected '{'"),
    "NaN": (lambda: zipped(with_memory(metadata={"x": float("nan")})), 400, "NaN"),
    "infinity": (lambda: zipped(json.dumps(foreign()).replace("[1]", "[1e999]").encode()), 400, "too large"),
    "not UTF-8": (lambda: zipped(b'{"user": "\xff"}'), 400, "UTF-8"),
    "deep": (lambda: zipped(b'{"user": ' + b"[" * 100_000), 400, "nested"),
    "a key twice": (lambda: zipped(b'{"user": {}, "user": {}}'), 400, "twice"),
    "a key of a row twice": (lambda: zipped(b'{"user": {"a": 1, "a": 2}}'), 400, "twice"),
    "unknown key": (lambda: zipped(foreign(vectors=[])), 400, "'vectors'"),
    "missing key": (lambda: zipped(without("memories", "access_controls")), 400, "lacks memories, access_controls"),
    "wrong type": (lambda: zipped(foreign(memories={})), 400, "'memories' is not a list"),
    "wrong row": (lambda: zipped(foreign(memories=["x"])), 400, "memories[0]"),
    "null row": (lambda: zipped(foreign(apps=[None])), 400, "apps[0] is null"),
    "no id": (lambda: zipped(with_memory(id="x")), 400, "memories[0].id"),
    "no text": (lambda: zipped(with_memory(content="  ")), 400, "memories[0].content"),
    "a number for a text": (lambda: zipped(with_memory(content=5)), 400, "memories[0].content"),
    "NUL": (lambda: zipped(with_memory(content="a\x00b")), 400, "memories[0].content"),
    "huge text": (lambda: zipped(with_memory(content="x" * 300_000)), 413, "memories[0].content"),
    "unknown state": (lambda: zipped(with_memory(state="lost")), 400, "memories[0].state"),
    "no time": (lambda: zipped(with_memory(created_at="yesterday")), 400, "memories[0].created_at"),
    "unknown app": (lambda: zipped(with_memory(app_id=str(uuid.uuid4()))), 400, "is not among 'apps'"),
    "unknown category": (lambda: zipped(with_memory(category_ids=[APP])), 400, "is not among 'categories'"),
    "the same id twice": (lambda: zipped(foreign(memories=foreign()["memories"][:1] * 2)), 400, "memories[1]"),
    "a rule of something else": (
        lambda: zipped(foreign(access_controls=[{**foreign()["access_controls"][0], "subject_type": "user"}])),
        400,
        "access_controls[0].subject_type",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_or_hostile_zip_is_refused_by_name_and_nothing_is_stored(stack: Stack, name: str) -> None:
    make, status, words = BROKEN[name]
    who = user("broken")
    async with stack.http() as http:
        answer = await imported(http, who, make())
        problem = answer.json()
        assert (answer.status_code, words in problem["detail"]) == (status, True), problem
        assert problem["code"] == ("payload_too_large" if status == 413 else "broken_backup")
        events = (await http.get("/api/v1/events", params={"user_id": who})).json()["events"]
        assert {event["type"] for event in events} <= {"UserRegistered", "AppRegistered"}
        assert await page(http, who) == []


async def test_an_import_needs_a_file_and_no_file_may_be_too_large(stack: Stack) -> None:
    async with stack.http() as http:
        missing = await http.post(IMPORT, data={"user_id": "nobody"})
        assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "file")
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    head = f"POST {IMPORT}/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 40}\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x".encode())
    async with asyncio.timeout(60):
        said = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    assert said.startswith("HTTP/1.1 413")

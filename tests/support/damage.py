"""The files of a log, damaged on purpose; and what Memlog says of it when it is started on them again."""

import asyncio
import hashlib
import random
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from audit.anchors import Anchors
from audit.checks import Verifiable, stored_checkpoint
from audit.generations import access_models, read_models
from audit.verifier import Verifier
from contracts import subjects
from contracts.errors import ConfigurationError, LogNotTrusted
from contracts.streams import ACCESS_LOG, KEYS, READ_MODELS, USERS, access, commands, events
from nats.js.errors import NotFoundError, ServerError
from runtime.event_store import EventStore
from runtime.log_checks import check_checkpoint
from runtime.nats import connect, jetstream
from runtime.postgres import Pool, create_pool
from runtime.service import Context, open_context
from runtime.settings import Settings
from runtime.stream_reading import pages
from standalone.failures import ServerDidNotStart
from standalone.home import Home
from standalone.nats_server import nats_server
from standalone.postgres_server import postgres_server
from support.audited_log import project
from support.log_events import new_event
from support.servers import opened, settings_for
from support.stack import Stack

Contents = Mapping[str, tuple[tuple[int, str, str, str], ...]]
"""Stream → sequence, subject, time and hash of each message."""
_STREAMS = (events(0).name, access(0).name, commands(0).name, USERS.name, KEYS.name)
_UID = "f" * 32
_LATE = 10**12
"""An epoch after those of any owner that there was."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A home whose log is put back from a copy before each damage. `pool` reads its tables, which stay as they are."""

    home: Home
    copies: Mapping[str, Path]
    pool: Pool
    contents: Contents

    def put_back(self, copy: str) -> None:
        shutil.rmtree(self.home.nats)
        shutil.copytree(self.copies[copy], self.home.nats)


async def fill(stack: Stack, memories: int) -> None:
    """Memories, revisions and reads of two users."""
    async with stack.http() as http:

        async def write(start: int) -> None:
            for number in range(start, memories, 8):
                body = {"user_id": f"user-{number % 2}", "text": f"Note {number}: " + "word " * (number % 30)}
                added = (
                    (await http.post("/api/v1/memories/", json={**body, "wait": "stored"})).raise_for_status().json()
                )
                if number % 10 == 0 and "id" in added:
                    change = {"user_id": f"user-{number % 2}", "memory_content": f"Revised note {number}"}
                    (await http.put(f"/api/v1/memories/{added['id']}", json=change)).raise_for_status()

        await asyncio.gather(*(write(start) for start in range(8)))
        for number in range(40):
            params = {"user_id": f"user-{number % 2}", "size": 20}
            (await http.get("/api/v1/memories/", params=params)).raise_for_status()


@asynccontextmanager
async def damaged(stack: Stack, folder: Path) -> AsyncGenerator[Damaged]:
    """Stop a running stack with kill -9, and its server alone once more in good order; keep a copy of the log each
    time."""
    copies = {"killed": folder / "killed", "stopped": folder / "stopped"}
    await stack.kill()
    shutil.copytree(stack.home / "nats", copies["killed"])
    with Home.open(stack.home) as home:
        async with postgres_server(home) as postgres:
            pool = await create_pool(postgres.dsn, application_name="test", size=2)
            try:
                async with nats_server(home) as server, opened(settings_for(home, server), start=False) as log:
                    # PostgreSQL may have come back a moment behind.
                    for make, stream in ((read_models, events(0).name), (access_models, access(0).name)):
                        last = await log.events.last_sequence(stream)
                        await project(log, pool, make, stream, last, epoch=_LATE)
                    contents = await _contents(log.events)
                shutil.copytree(home.nats, copies["stopped"])
                yield Damaged(home, copies, pool, contents)
            finally:
                pool.terminate()


async def _contents(store: EventStore) -> Contents:
    found: dict[str, tuple[tuple[int, str, str, str], ...]] = {}
    for name in _STREAMS:
        read = [m async for page in pages(store, name, 1, await store.last_sequence(name)) for m in page]
        found[name] = tuple(
            (m.sequence, m.subject, str(m.recorded_at), hashlib.sha256(m.data).hexdigest()) for m in read
        )
    return found


# -- damage ----------------------------------------------------------------------------------------------------------


def _flip(data: bytearray, rng: random.Random) -> str:
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return f"a bit flipped at {at}"


def _truncate(data: bytearray, rng: random.Random) -> str:
    at = rng.randrange(len(data))
    del data[at:]
    return f"cut at {at}"


def _cut_the_end(data: bytearray, rng: random.Random) -> str:
    lost = min(len(data), rng.choice([1, 8, 100, 700, 3000]))
    del data[len(data) - lost :]
    return f"the last {lost} bytes cut off"


def _zero(data: bytearray, rng: random.Random) -> str:
    at, size = rng.randrange(len(data)), rng.choice([8, 512, 4096])
    data[at : at + size] = bytes(len(data[at : at + size]))
    return f"{size} bytes zeroed at {at}"


_DAMAGES: tuple[Callable[[bytearray, random.Random], str], ...] = (_flip, _flip, _truncate, _cut_the_end, _zero)


def damage(home: Home, rng: random.Random) -> str:
    """Damage one file of the log, mostly one that holds events or reads; says what was done."""
    files = sorted(file for file in home.nats.rglob("*") if file.is_file() and file.stat().st_size > 0)
    chosen = rng.random()
    if chosen < 0.75:
        files = [f for f in files if {"MEMLOG_EVENTS_0", "MEMLOG_ACCESS_0"} & set(f.parts) and "obs" not in f.parts]
        if chosen < 0.6:
            files = [file for file in files if file.suffix == ".blk"]
    file = rng.choice(files)
    name = str(file.relative_to(home.nats))
    if rng.random() < 0.05:
        file.unlink()
        return f"{name}: removed"
    data = bytearray(file.read_bytes())
    what = rng.choice(_DAMAGES)(data, rng)
    file.write_bytes(data)
    return f"{name} ({len(data)} bytes): {what}"


# -- what becomes of it ----------------------------------------------------------------------------------------------


async def verdict(kept: Damaged) -> str:
    """How the damage is noticed: `refused` by the server or by a service that starts, or `verify` names it. Or
    `intact`: every message is there as it was. Fails the test when it is none of these."""
    try:
        async with nats_server(kept.home) as server:
            settings = settings_for(kept.home, server, sole_instance=True)
            try:
                async with open_context("audit", settings, asyncio.Event()) as context:
                    await _positions(kept, context.events)
                    return await _served(kept, context)
            except (LogNotTrusted, ConfigurationError) as error:
                await _refilled(kept, settings)
                return f"refused: {error.message}"
    except (LogNotTrusted, ServerDidNotStart) as error:
        return f"refused by the server: {error.message}"


async def _positions(kept: Damaged, store: EventStore) -> None:
    """What projections check before they go on, and the writer before it appends."""
    for projection, stream in ((READ_MODELS, events), (ACCESS_LOG, access)):
        log = Verifiable(store._js, store, kept.pool)  # pyright: ignore[reportPrivateUsage]
        at = await stored_checkpoint(log, projection, 0)
        assert at is not None
        await check_checkpoint(store, stream(0).name, at, projection)


async def _served(kept: Damaged, context: Context) -> str:
    log = Verifiable(context.js, context.events, kept.pool)
    anchors = Anchors(kept.pool, context.events, context.log)
    found = await Verifier(log, context.client, anchors, None, serving=False).run()
    assert found.result != "incomplete", found
    differences = [check.difference for check in found.checks if check.difference is not None]
    if differences:
        return f"verify: {differences[0].kind} in {differences[0].where} at {differences[0].sequence}"
    assert await _contents(context.events) == kept.contents, "something changed, and nobody noticed"
    return "intact"


async def _refilled(kept: Damaged, settings: Settings) -> None:
    """A log that lost its end gets new events under the sequence numbers of the old ones: it must not be trusted."""
    name, last = events(0).name, kept.contents[events(0).name][-1][0]
    async with connect(settings, "test") as client:
        js = jetstream(client)
        store = EventStore(client, js, 1)
        await store.open()
        try:
            ends = (await js.stream_info(name)).state.last_seq
            if ends >= last:
                return
            wave = [new_event(subjects.user(f"{_UID[:-4]}{number:04}")) for number in range(last - ends + 2)]
            await store.append(wave)
            assert await store.last_sequence(name) > last
            try:
                await _positions(kept, store)
            except LogNotTrusted:
                return
            raise AssertionError("a log was trusted that used sequence numbers again")
        except (NotFoundError, ServerError):
            return
        finally:
            await store.close()

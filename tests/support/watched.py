"""A Memlog that has done something of everything, and a real Prometheus that watches it."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from mcp.shared.exceptions import MCPError
from support.faults import status
from support.openai_server import OpenAIServer, openai_server
from support.prometheus import Prometheus, prometheus
from support.stack import Stack, call, eventually, running_stack

SECRET = "xylophonist"
"""In every text, query and name that a client chooses: it must show in no metric."""


@dataclass(frozen=True, slots=True)
class Watched:
    """`ports` of the processes that have metrics: the gateway's (and of all but the indexer), and the indexer's."""

    stack: Stack
    ports: tuple[int, int]
    prometheus: Prometheus

    async def metrics(self) -> str:
        """What all processes export now."""
        async with httpx.AsyncClient(timeout=30) as http:
            answers = [await http.get(f"http://127.0.0.1:{port}/metrics") for port in self.ports]
        return "".join(answer.raise_for_status().text for answer in answers)


def _free_pair() -> int:
    """A port that is free, and so is the next one. Not of those that the kernel gives to whoever asks for any: the
    second is taken seconds later only."""
    for port in random.sample(range(20_000, 30_000, 2), 100):
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", port))
            next_one.bind(("127.0.0.1", port + 1))
            return port
    raise RuntimeError("no two ports beside each other are free")


@asynccontextmanager
async def watched(folder: Path) -> AsyncGenerator[Watched]:
    """Runs until the block ends; `folder` is empty."""
    port = _free_pair()
    async with openai_server() as model:
        model.chat.script = lambda asked: {"facts": []} if asked.schema == "Facts" else {"categories": []}
        async with running_stack(
            folder / "memlog",
            MEMLOG_OPS_PORT=str(port),
            MEMLOG_LLM="talker",
            MEMLOG_LLM_BASE_URL=model.url,
        ) as stack:
            await asyncio.gather(_rest(stack, model), _mcp(stack))
            jobs = {"gateway": port, "indexer": port + 1}
            async with prometheus(folder, jobs) as watching:
                found = Watched(stack, (port, port + 1), watching)

                async def seen() -> bool:
                    """Twice, so that there are rates, and with what is looked at every few seconds only."""
                    expressions = (
                        "memlog_verification_check",
                        "memlog_dead_letters",
                        "memlog_nats_storage_bytes",
                        "gen_ai_client_token_usage_count",
                        'gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat", error_type!=""}',
                    )
                    values = [await watching.query(f"count_over_time({each}[10m]) > 1") for each in expressions]
                    rules = await watching.rules()
                    return all(values) and set(rules.values()) == {"ok"}

                await eventually(seen, timeout=60)
                yield found


async def _rest(stack: Stack, model: OpenAIServer) -> None:
    async with stack.http() as http:
        user = {"user_id": SECRET}
        body = {**user, "text": f"The {SECRET} plays on Fridays", "app": f"{SECRET} app", "infer": False}
        added = (await http.post("/api/v1/memories", json=body)).raise_for_status().json()
        model.chat.faults.append(status(503))
        await http.post("/api/v1/memories", json={**body, "text": f"{SECRET}s play loudly", "infer": True})
        found = await http.get("/api/v1/search", params={**user, "query": SECRET})
        assert found.json()["results"]
        again = {"memory_ids": [added["id"]], **user}
        for _ in range(2):
            await http.request("DELETE", "/api/v1/memories", json=again)
        assert (await http.get(f"/{SECRET}")).status_code == 404
        assert (await http.get("/api/v1/memories", headers={"Origin": f"https://{SECRET}.example"})).status_code == 403
        (await http.post("/api/v1/verification", json={"stores": False})).raise_for_status()


async def _mcp(stack: Stack) -> None:
    async with stack.mcp(path=f"/mcp/{SECRET}/http/{SECRET}") as client:
        await call(client, "add_memories", text=f"{SECRET}s have no strings")
        await call(client, "search_memory", query=SECRET)
        refused = await client.call_tool("search_memory", {"query": ""})
        assert refused.is_error
        with contextlib.suppress(MCPError):
            await client.call_tool(SECRET, {})

"""A local server that speaks the OpenAI API, the only stand-in of the tests: with faults on demand (support.faults)."""

import asyncio
import base64
import json
import socket
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from support.chat_model import ChatModel
from support.faults import Fault, hang, status


@dataclass(slots=True)
class OpenAIServer:
    """`faults` are used up, one a request; `always` is the answer to every request while it is set; after `answers`
    more, all hang until it is None. `embedded` are the texts that got a vector, `requests` counts all. Only `models`
    are known; with a `key`, only who shows it is let in. A text that holds `refused` is called wrong (400). All of this
    is of embeddings; `chat` is the language model."""

    url: str
    dimension: int = 12
    models: set[str] = field(default_factory=lambda: {"small"})
    key: str | None = None
    refused: str | None = None
    faults: deque[Fault] = field(default_factory=deque[Fault])
    always: Fault | None = None
    answers: int | None = None
    requests: int = 0
    embedded: list[str] = field(default_factory=list[str])
    chat: ChatModel = field(default_factory=ChatModel)

    async def embeddings(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        fault = self._fault(request, asked)
        if fault is not None:
            answer, held = fault(request), self.answers is not None
            while answer is None and not await request.is_disconnected():
                if held and self.answers is None:
                    return Response(status_code=503)
                await asyncio.sleep(0.02)
            return answer or Response(status_code=499)
        texts: list[str] = asked["input"]
        self.embedded += texts
        data = [
            {"object": "embedding", "index": number, "embedding": self._shown(row, asked.get("encoding_format"))}
            for number, row in enumerate(self.vectors(texts))
        ]
        data.reverse()  # the index counts, not the order
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return JSONResponse({"object": "list", "model": asked["model"], "data": data, "usage": usage})

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Not normalized. Texts that share words are similar."""
        rows: list[list[float]] = []
        for each in texts:
            words = each.lower().split() or [""]
            row = sum(np.random.default_rng(crc32(word.encode())).normal(size=self.dimension) for word in words)
            rows.append(np.asarray(row, np.float32).tolist())
        return rows

    def _fault(self, request: Request, asked: dict[str, object]) -> Fault | None:
        self.requests += 1
        if self.faults:
            return self.faults.popleft()
        if self.always is not None:
            return self.always
        if self.answers is not None:
            self.answers -= 1
            if self.answers < 0:
                return hang
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return status(401)
        if asked["model"] not in self.models:
            return status(404)
        if self.refused is not None and self.refused in str(asked["input"]):
            return status(400)
        return None

    def _shown(self, row: list[float], form: object) -> str | list[float]:
        return base64.b64encode(np.array(row, "<f4").tobytes()).decode() if form == "base64" else row


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def openai_server() -> AsyncGenerator[OpenAIServer]:
    """Runs in the test's own event loop until the block ends. `url` is what clients take as base URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    stand_in = OpenAIServer(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")

    async def chat(request: Request) -> Response:
        return await stand_in.chat.completions(request)

    app = Starlette(
        routes=[
            Route("/v1/embeddings", stand_in.embeddings, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
        ]
    )
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off")
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(60):
            await server.ready.wait()
        yield stand_in
    finally:
        server.should_exit = True
        async with asyncio.timeout(60):
            await running

"""The port for whoever runs Memlog: `/livez`, `/readyz` and `/metrics` of this process, without authentication and
without any content. Probes and Prometheus reach it; nobody else should.

It answers from threads of its own, so that a stuck event loop is noticed and not merely silent.
"""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from contracts.errors import ConfigurationError

from runtime.metrics import exposition
from runtime.probes import Probes
from runtime.settings import Settings

log = structlog.get_logger()
_ASK_LOOP_S = 2.0
_CLIENT_S = 10.0
_STOP_POLL_S = 0.2


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_S

    def __init__(
        self,
        probes: Probes,
        loop: asyncio.AbstractEventLoop,
        request: socket.socket,
        client_address: object,
        server: _Server,
    ) -> None:
        self._probes = probes
        self._loop = loop
        super().__init__(request, client_address, server)

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/livez":
                alive = self._probes.alive()
                self._say({} if alive else {"event loop": "stuck"}, "ok")
            case "/readyz":
                self._say(self._troubles(), "ready")
            case "/metrics":
                body, content_type = exposition(self.headers.get("Accept"))
                self._answer(HTTPStatus.OK, body, content_type)
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b'{"status": "not found"}', "application/json")

    do_HEAD = do_GET

    def _troubles(self) -> dict[str, str]:
        async def ask() -> dict[str, str]:
            return self._probes.troubles()

        asking = ask()
        try:
            return asyncio.run_coroutine_threadsafe(asking, self._loop).result(_ASK_LOOP_S)
        except (FutureTimeout, RuntimeError):  # RuntimeError: the loop is closed
            asking.close()
            return {"event loop": "busy"}

    def _say(self, troubles: dict[str, str], well: str) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
        said = {"status": "unavailable", "troubles": troubles} if troubles else {"status": well}
        self._answer(status, json.dumps(said).encode(), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "memlog"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a probe every few seconds is no news."""


@asynccontextmanager
async def ops_port(settings: Settings, *services: str) -> AsyncGenerator[Probes]:
    """Serve for the length of the block, where `MEMLOG_OPS_PORT` says so; else nobody can ask. `services`: those of
    this process. Raises `ConfigurationError` for a port that is taken or an address that is not this machine's."""
    probes = Probes(services)
    if settings.ops_port is None:
        yield probes
        return
    host, port = settings.ops_host, settings.ops_port
    kind = type("_Server6", (_Server,), {"address_family": socket.AF_INET6}) if ":" in host else _Server
    try:
        server = kind((host, port), partial(_Handler, probes, asyncio.get_running_loop()))
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} for probes and metrics: {error.strerror}. "
            "Choose another MEMLOG_OPS_PORT (or MEMLOG_OPS_HOST)"
        ) from None
    serving = threading.Thread(target=server.serve_forever, args=(_STOP_POLL_S,), name="ops-port", daemon=True)
    serving.start()
    log.info("ops_port_open", host=host, port=server.server_address[1])
    try:
        async with probes.beating():
            yield probes
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()

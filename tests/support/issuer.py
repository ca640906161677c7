"""An OpenID Connect issuer for tests: real keys and signatures, its metadata and keys as an ASGI application."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send


@dataclass(slots=True)
class Issuer:
    """`keys` by their ids; the last one signs. `asked` counts requests for the keys; while `away`, none is answered."""

    url: str = "http://127.0.0.1:1/realm"
    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict[str, ec.EllipticCurvePrivateKey])
    asked: int = 0
    away: bool = False
    says: str | None = None
    only_rfc_8414: bool = False

    def __post_init__(self) -> None:
        self.rotate("first")

    def rotate(self, kid: str, *, forget: bool = False) -> None:
        """Sign by a new key from now on; `forget`: the older ones are published no more."""
        if forget:
            self.keys.clear()
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def token(self, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that counts for `https://memlog.test`, but for what `claims` change (None takes one away)."""
        kid, key = list(self.keys.items())[-1]
        said = {
            "iss": self.url,
            "aud": "https://memlog.test",
            "sub": "ada",
            "client_id": "cursor",
            "scope": "memlog:read memlog:write openid",
            "exp": int(time.time()) + 300,
            **claims,
        }
        return jwt.encode(
            {name: value for name, value in said.items() if value is not None},
            key,
            algorithm="ES256",
            headers={"kid": kid, "typ": "at+jwt", **(header or {})},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await self._answer(Request(scope).url.path)(scope, receive, send)

    def _answer(self, path: str) -> Response:
        base, realm = self.url.rsplit("/", 1)
        metadata = {"issuer": self.says or self.url, "jwks_uri": f"{base}/{realm}/keys"}
        if self.away:
            return Response(status_code=502)
        if path == f"/{realm}/.well-known/openid-configuration" and not self.only_rfc_8414:
            return JSONResponse(metadata)
        if path == f"/.well-known/oauth-authorization-server/{realm}":
            return JSONResponse(metadata)
        if path != f"/{realm}/keys":
            return Response(status_code=404)
        self.asked += 1
        published = [
            {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return JSONResponse({"keys": published})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def served_issuer() -> AsyncGenerator[Issuer]:
    """An issuer on loopback, until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    issuer = Issuer(f"http://127.0.0.1:{listening.getsockname()[1]}/realm")
    config = uvicorn.Config(issuer, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off")
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield issuer  # the socket listens already: who comes before the server waits a moment
    finally:
        server.should_exit = True
        await running
        listening.close()

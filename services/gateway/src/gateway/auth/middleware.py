"""Lets nobody in who has not proven who they are: every request, before any route sees it.

A stream that stays open is proven again and again, and ended when its token counts no more.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from contracts.errors import MemlogError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.auth.identity import Authenticator, Identity, Unauthenticated
from gateway.auth.limits import OFF, RateLimits
from gateway.auth.refusals import Challenger, challenge_with, remember
from gateway.auth.resource_metadata import WELL_KNOWN
from gateway.errors import refused

_BEARER = re.compile(r"(?i:Bearer) +([!-~]+)")
"""RFC 6750 §2.1; the scheme's case does not matter (RFC 9110 §11.1)."""
_MAX_HEADER = 16 * 1024


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """How the gateway authenticates. `public_url`, `issuer` and `scope_prefix`: where clients are told that they reach
    it, whose tokens count beside its own, and what stands before the names of scopes there. `rate_limit`: of one
    token; `failure_limit`: of tokens from one address that do not count. `prove_again`: how often the token of an open
    stream is proven, in seconds."""

    public_url: str | None = None
    issuer: str | None = None
    scope_prefix: str = ""
    rate_limit: str = OFF
    failure_limit: str = "60/minute"
    prove_again: float = 2.0


def is_open(path: str) -> bool:
    """Whether the path is answered without a token. Nothing else is."""
    return path == "/livez" or path == WELL_KNOWN or path.startswith(f"{WELL_KNOWN}/")


class AuthMiddleware:
    """ASGI middleware; Host, Origin and body were checked before. Of `authenticators`, the first that knows a token's
    form decides."""

    def __init__(
        self, app: ASGIApp, *, authenticators: Sequence[Authenticator], options: AuthOptions, limits: RateLimits
    ) -> None:
        self._app = app
        self._authenticators = authenticators
        self._options = options
        self._limits = limits
        self._challenger = Challenger(options.public_url, options.scope_prefix)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        challenge_with(scope, self._challenger)
        try:
            bearer = bearer_in(scope)
            remember(scope, await self._admit(bearer, (scope.get("client") or ("",))[0]))
        except MemlogError as error:
            await refused(error, scope)(scope, receive, send)
            return
        await self._serve(bearer, scope, receive, send)

    async def _admit(self, bearer: str, address: str) -> Identity:
        digest = sha256(bearer.encode()).hexdigest()
        await self._limits.before(digest, address)
        try:
            identity = await self._prove(bearer)
        except Unauthenticated:
            await self._limits.failed(address)
            raise
        await self._limits.proven(digest)
        return identity

    async def _prove(self, bearer: str) -> Identity:
        for authenticator in self._authenticators:
            if authenticator.knows(bearer):
                return await authenticator.authenticate(bearer)
        raise Unauthenticated("this token is none that counts here")

    async def _serve(self, bearer: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request. Is it a stream, its task is cancelled when its token does not count any more."""
        serving = asyncio.current_task()
        assert serving is not None
        watching: asyncio.Task[None] | None = None
        revoked = complete = False

        def end(_: object) -> None:
            nonlocal revoked
            revoked = True
            serving.cancel()

        async def noted(message: Message) -> None:
            nonlocal watching, complete
            if revoked:
                serving.cancel()  # once may not be enough: see runtime.tasks
                return
            if message["type"] == "http.response.start":
                if _is_stream(message):
                    watching = asyncio.create_task(self._watch(bearer))
                    watching.add_done_callback(end)
            else:
                complete = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            if not revoked:
                raise
        finally:
            if watching is not None:
                watching.remove_done_callback(end)
                watching.cancel()
        if revoked and not complete:
            while serving.cancelling():
                serving.uncancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, bearer: str) -> None:
        """Returns when the token does not count any more, or that cannot be known."""
        while True:
            await asyncio.sleep(self._options.prove_again)
            try:
                await self._prove(bearer)
            except MemlogError:
                return


def bearer_in(scope: Scope) -> str:
    """The token of a request: in its one Authorization header, and nowhere else. Raises `Unauthenticated`."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        raise Unauthenticated("this needs a token: Authorization: Bearer <token>")
    match = _BEARER.fullmatch(given[0].decode("latin-1")) if len(given[0]) <= _MAX_HEADER else None
    if len(given) > 1 or match is None:
        raise Unauthenticated("send one Authorization header that says: Bearer <token>")
    return match[1]


def _is_stream(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start["headers"])

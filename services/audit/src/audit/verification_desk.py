"""Where verification is asked for: `contracts.verification.VerificationRequest`, over core NATS."""

import asyncio

import structlog
from contracts.errors import Conflict, MemlogError
from contracts.subjects import VERIFICATION
from contracts.verification import Verification, VerificationReply, VerificationRequest
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError
from runtime.nats import subscribe
from runtime.tasks import end

from audit.anchors import Anchors
from audit.verifier import STORES, Verifier

log = structlog.get_logger()


class VerificationDesk:
    """Verifies when it is asked to, one verification at a time, and tells how far it is."""

    def __init__(self, client: Client, verifier: Verifier, anchors: Anchors) -> None:
        self._client = client
        self._verifier = verifier
        self._anchors = anchors
        self._running: asyncio.Task[Verification] | None = None

    async def run(self) -> None:
        """Answer until cancelled."""
        tasks: set[asyncio.Task[None]] = set()

        async def asked(message: Msg) -> None:
            task = asyncio.create_task(self._answer(message))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        subscription = await subscribe(self._client, VERIFICATION, asked)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await end(*tasks, *([] if self._running is None else [self._running]))
            if not self._client.is_closed:
                await subscription.unsubscribe()

    async def _answer(self, message: Msg) -> None:
        try:
            reply = await self._do(VerificationRequest.model_validate_json(message.data))
        except MemlogError as error:
            reply = VerificationReply(code=error.code, error=error.message)
        except ValidationError:
            reply = VerificationReply(code=Conflict.code, error="asked in a form that this version does not know")
        except Exception as error:
            log.exception("verification_request_failed")
            reply = VerificationReply(code=MemlogError.code, error=type(error).__name__)
        await message.respond(reply.model_dump_json().encode())

    async def _do(self, request: VerificationRequest) -> VerificationReply:
        match request.action:
            case "start":
                if self._running is None or self._running.done():
                    self._running = asyncio.create_task(self._verifier.run(STORES if request.stores else ()))
                    await asyncio.sleep(0)  # it says from now on that it runs
                return VerificationReply(verification=self._verifier.view())
            case "show":
                return VerificationReply(verification=self._verifier.view())
            case "anchor":
                return VerificationReply(anchor=await self._anchors.current())
            case "check":
                return VerificationReply(checked=await self._anchors.check(request.heads))

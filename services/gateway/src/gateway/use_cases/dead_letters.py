"""Dead letters for a person: what was given up on and why, trying again, going on without.

What a projection gave up on, its owner folds anew (the categorizer likewise looks once more). A command that the
writer rejected is published once more as it is, under its own id: the id is bound into its seal, so under a fresh one
it could not be opened, and a command handled twice under one id has one effect.
"""

import contextlib
from dataclasses import replace

from contracts.api import AggregateView
from contracts.codec import timestamp
from contracts.dead_letters import (
    DeadLetter,
    DeadLetterDetail,
    DeadLetterPage,
    Redriven,
    RedriveReply,
    RedriveReport,
    RedriveRequest,
    RedriveStatus,
)
from contracts.errors import Conflict, MemlogError, NotFound, Unavailable
from contracts.streams import DEAD, WRITER_CONSUMER
from contracts.subjects import redrive_subject
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError
from runtime.dead_letters import REASON, SEQUENCE, STREAM, SUBJECT, DeadLetters
from runtime.errors import NATS_FAILURES, WRONG_LAST_SEQUENCE, nats_errors
from runtime.event_store import EventStore, StoredMessage

from gateway.service import Caller
from gateway.use_cases.audit_trail import AuditTrail
from gateway.use_cases.identity import Identities
from gateway.use_cases.log_reading import message_view

_ALL = DEAD.subjects[0]
_REFOLD_S = 30.0


class RedriveFailed(Conflict):
    """What was given up on fails again: its cause is still there. The dead letters stay."""

    code = "redrive_failed"
    remedy = (
        "Remove the cause that the message names, then `memlog dead redrive`; or go on without it: `memlog dead drop`."
    )


class DeadLetterDesk:
    """All methods raise `Unavailable` when NATS, or the owner of a projection, does not answer."""

    def __init__(
        self, client: Client, js: JetStreamContext, log: EventStore, identities: Identities, trail: AuditTrail
    ) -> None:
        self._client = client
        self._js = js
        self._log = log
        self._identities = identities
        self._trail = trail

    async def dead_letters(self, *, after: int, limit: int) -> DeadLetterPage:
        """See `gateway.service.MemoryService`."""
        counts = await self._counts()
        page, pending = await self._log.read_page(DEAD.name, _ALL, after + 1, limit)
        letters = [_view(letter, counts.get(letter.subject, 1)) for letter in page]
        return DeadLetterPage(
            dead_letters=letters,
            total=sum(counts.values()),
            aggregates=len(counts),
            next=page[-1].sequence if page and pending else None,
        )

    async def dead_letter(self, caller: Caller, letter_id: int) -> DeadLetterDetail:
        """See `gateway.service.MemoryService`."""
        letter = await self._letter(letter_id)
        principal = await self._identities.owner(caller)
        original = replace(letter, subject=letter.headers[SUBJECT])
        mine = original.subject.split(".")[3] == principal.uid
        shown = _view(letter, (await self._counts()).get(letter.subject, 1))
        message = message_view(original, principal.key if mine else None)
        if message.data is not None:
            about = [(shown.aggregate.id, None)] if shown.aggregate.kind == "memory" else []
            await self._trail.record(principal, "get", about)
        return DeadLetterDetail(**dict(shown), message=message)

    async def redrive(self, letter_id: int) -> Redriven:
        """See `gateway.service.MemoryService`."""
        return await self._redrive(await self._letter(letter_id))

    async def redrive_all(self) -> RedriveReport:
        """See `gateway.service.MemoryService`."""
        results: list[Redriven] = []
        for letter_id in await self._first_of_each():
            with contextlib.suppress(NotFound):  # healed meanwhile
                letter = await self._letter(letter_id)
                try:
                    results.append(await self._redrive(letter))
                except MemlogError as error:
                    count = (await self._counts()).get(letter.subject, 1)
                    results.append(_done(letter, count, "failed", error.message))
        return RedriveReport(results=results)

    async def drop_dead_letter(self, letter_id: int) -> Redriven:
        """See `gateway.service.MemoryService`."""
        letter = await self._letter(letter_id)
        count = (await self._counts()).get(letter.subject, 1)
        if _consumer(letter) == WRITER_CONSUMER:
            letters = DeadLetters(self._js, self._log, WRITER_CONSUMER)
            if int(letter.headers[SEQUENCE]) not in await letters.dropped(int(letter.subject.split(".")[3])):
                await letters.note_dropped(letter)  # else it would look like a command that was lost
            await self._remove(letter)
            return _done(letter, count, "dropped")
        stays = await self._refold(letter, [int(letter.headers[SEQUENCE])])
        return _done(letter, count, "dropped", stays)

    async def _redrive(self, letter: StoredMessage) -> Redriven:
        count = (await self._counts()).get(letter.subject, 1)
        if _consumer(letter) == WRITER_CONSUMER:
            await self._send_again(letter)
            return _done(letter, count, "sent_again")
        stays = await self._refold(letter, [])
        if stays is not None:
            raise RedriveFailed(f"{_consumer(letter)} still cannot apply all of it: {stays}")
        return _done(letter, count, "healed")

    async def _refold(self, letter: StoredMessage, without: list[int]) -> str | None:
        """Why letters about the same stay, or None. Raises `RedriveFailed`, `Unavailable`."""
        _, _, consumer, shard, _ = letter.subject.split(".", 4)
        request = RedriveRequest(subject=letter.subject, without=without)
        try:
            answer = await self._client.request(
                redrive_subject(consumer, int(shard)), request.model_dump_json().encode(), timeout=_REFOLD_S
            )
        except NATS_FAILURES as error:
            raise Unavailable(
                f"{consumer}.{shard}, which gave it up, does not answer ({type(error).__name__}); see: memlog status"
            ) from error
        reply = RedriveReply.model_validate_json(answer.data)
        if reply.error is not None:
            raise RedriveFailed(f"{consumer} still cannot apply it: {reply.error}")
        return reply.stays

    async def _send_again(self, letter: StoredMessage) -> None:
        subject, sequence = letter.headers[SUBJECT], int(letter.headers[SEQUENCE])
        stream = letter.headers[STREAM]
        with nats_errors("take the command again"):
            try:
                stands = (await self._js.get_msg(stream, subject=subject)).seq or 0
            except NotFoundError:  # commands age out
                stands = 0
            if stands <= sequence:  # else it was sent again already
                try:
                    await self._js.publish(
                        subject, letter.data, headers={Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(stands)}
                    )
                except APIError as error:
                    if error.err_code != WRONG_LAST_SEQUENCE:
                        raise
        await self._remove(letter)

    async def _remove(self, letter: StoredMessage) -> None:
        """This one alone: the writer may have rejected it again meanwhile."""
        with nats_errors("remove a dead letter"):
            await self._js.purge_stream(DEAD.name, subject=letter.subject, seq=letter.sequence + 1)

    async def _letter(self, letter_id: int) -> StoredMessage:
        found = await self._log.message_at(DEAD.name, letter_id)
        if found is None:
            raise NotFound(f"dead letter {letter_id} was not found; it may be healed: memlog dead list")
        return found

    async def _first_of_each(self) -> list[int]:
        """The first letter about each aggregate, oldest first."""
        first: dict[str, int] = {}
        at, more = 0, True
        while more:
            page, pending = await self._log.read_page(DEAD.name, _ALL, at + 1, 512)
            for letter in page:
                at = letter.sequence
                first.setdefault(letter.subject, at)
            more = bool(page) and pending > 0
        return [*first.values()]

    async def _counts(self) -> dict[str, int]:
        with nats_errors("count dead letters"):
            info = await self._js.stream_info(DEAD.name, subjects_filter=_ALL)
        return dict(info.state.subjects or {})


def _consumer(letter: StoredMessage) -> str:
    return letter.subject.split(".")[2]


def _about(letter: StoredMessage) -> AggregateView:
    """A command by its id, a read by its app, an event by its aggregate."""
    _, stream, _, _, *rest = letter.headers[SUBJECT].split(".")
    kind, *id_ = rest if len(rest) > 1 else ({"cmd": "command"}.get(stream, stream), *rest)
    return AggregateView(kind=kind, id=".".join(id_))


def _view(letter: StoredMessage, count: int) -> DeadLetter:
    return DeadLetter(
        id=letter.sequence,
        consumer=_consumer(letter),
        shard=int(letter.subject.split(".")[3]),
        aggregate=_about(letter),
        reason=letter.headers[REASON],
        subject=letter.headers[SUBJECT],
        stream=letter.headers[STREAM],
        sequence=int(letter.headers[SEQUENCE]),
        at=timestamp(letter.recorded_at),
        count=count,
    )


def _done(letter: StoredMessage, count: int, status: RedriveStatus, error: str | None = None) -> Redriven:
    return Redriven(
        id=letter.sequence,
        consumer=_consumer(letter),
        aggregate=_about(letter),
        letters=count,
        status=status,
        error=error,
    )

"""One change of many memories: durable commands name them all. Once accepted, they are carried out whatever stops in
between."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from contracts.api import ChangeKind
from contracts.commands import (
    MAX_IDS_PER_COMMAND,
    MAX_IDS_PER_REQUEST,
    ActivateMemories,
    ArchiveMemories,
    DeleteMemories,
    PauseMemories,
    RestoreMemories,
)
from contracts.errors import InvalidInput
from contracts.promises import Wait

from gateway.asking import OnProgress
from gateway.use_cases.commanding import Commanding, Principal, Sent
from gateway.use_cases.progress import shares

ForMany = DeleteMemories | PauseMemories | ArchiveMemories | ActivateMemories | RestoreMemories
_FAR: dict[Wait, int] = {"accepted": 0, "stored": 1, "searchable": 2}


def require_few(memory_ids: Sequence[str]) -> None:
    """What is done for all or none has to be one step. Raises `InvalidInput`."""
    if len(memory_ids) > MAX_IDS_PER_REQUEST:
        raise InvalidInput(
            f"{len(memory_ids)} memories cannot be changed all or none: name at most {MAX_IDS_PER_REQUEST} at a time"
        )


async def send_for_many(
    commanding: Commanding,
    principal: Principal,
    command: Callable[[tuple[str, ...]], ForMany],
    memory_ids: Sequence[str],
    wait: Wait = "searchable",
    on_progress: OnProgress | None = None,
) -> Sent:
    """Send the command for these memories (at least one), in several where one could not be sent, and wait as asked.
    What comes back covers all of them; its operation and state are those of the one that is least far. Raises as
    `Commanding.send`; then some of several may have been accepted."""
    parts = [tuple(memory_ids[at : at + MAX_IDS_PER_COMMAND]) for at in range(0, len(memory_ids), MAX_IDS_PER_COMMAND)]
    answers = await asyncio.gather(
        *(
            commanding.send(principal, command(part), wait=wait, on_progress=share)
            for part, share in zip(parts, shares(on_progress, parts), strict=True)
        ),
        return_exceptions=True,
    )
    sent: list[Sent] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        sent.append(answer)
    if len(sent) == 1:
        return sent[0]
    counts: Counter[ChangeKind] = Counter()
    for each in sent:
        counts.update(each.counts)
    least = min(sent, key=lambda each: _FAR[each.state])
    changed = any(each.status == "done" for each in sent)
    status = "done" if changed else least.status
    return Sent(least.command_id, least.state, status, counts=counts, reason=least.reason)

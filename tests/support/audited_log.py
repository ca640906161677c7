"""A stream with its audit rows, as a real server and the real projection leave them, to be changed by tests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from audit.chain import AuditRow, Head, genesis, link
from audit.verification import StreamVerifier, against
from contracts.verification import ChainHead, Difference
from runtime.event_store import StoredMessage

INCARNATION = "f" * 32


@dataclass(frozen=True, slots=True)
class Audited:
    """Messages and rows of a stream, by their order."""

    stream: str
    messages: tuple[StoredMessage, ...]
    rows: tuple[AuditRow, ...]

    def verify(self, page: int = 1_000_000) -> Difference | None:
        """As the audit verifies it, `page` sequences at a time."""
        verifier = StreamVerifier(self.stream, 0)
        everything = [*self.messages, *self.rows]
        last = max((each.sequence for each in everything), default=0)
        for start in range(0, last, page):
            difference = verifier.compare(
                [message for message in self.messages if start < message.sequence <= start + page],
                [row for row in self.rows if start < row.sequence <= start + page],
            )
            if difference is not None:
                return difference
        return verifier.end()

    def anchored(self, heads: Sequence[ChainHead]) -> Difference | None:
        """The first head that does not fit."""
        chains = {row.sequence: row.chain for row in self.rows}
        last = self.messages[-1].sequence if self.messages else 0
        found = (against(head, INCARNATION, chains.get(head.sequence), last) for head in heads)
        return next((difference for difference in found if difference is not None), None)

    def head(self, sequence: int) -> ChainHead:
        chain = genesis(self.stream).chain if sequence == 0 else self.rows[sequence - 1].chain
        return ChainHead(stream=self.stream, shard=0, incarnation=INCARNATION, sequence=sequence, head=chain)


def chained_anew(stream: str, rows: Sequence[AuditRow]) -> tuple[AuditRow, ...]:
    """The rows with a chain that fits them: what somebody does who knows how it is made."""
    head: Head = genesis(stream)
    found: list[AuditRow] = []
    for row in rows:
        head = Head(row.sequence, link(head.chain, row.sequence, row.sha256))
        found.append(replace(row, chain=head.chain))
    return tuple(found)

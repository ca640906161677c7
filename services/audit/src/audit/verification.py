"""Verifying a stream against its audit rows: the first difference, by name. Pure, and flat in the length of the log.

The chain says which side changed: a row that continues it is the one that was written, so what does not fit it is the
message; and the other way round. What was changed on both sides, and the chain made to fit, only a head shows that was
kept elsewhere (`against`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256

from contracts.streams import is_truth
from contracts.verification import ChainHead, Difference, DifferenceKind
from runtime.event_store import StoredMessage

from audit.chain import AuditRow, genesis, link, row_of


@dataclass(slots=True)
class _Unmatched:
    """Messages without rows: lost rows, or messages that were put in. The next row tells, by the chain."""

    first: int
    count: int
    folded: str


class StreamVerifier:
    """Compares one stream with its rows. Feed it both, page by page (`compare`), then `end`; it is done with the first
    difference."""

    def __init__(self, stream: str, shard: int) -> None:
        self._stream = stream
        self._shard = shard
        self._kept_since: datetime | None = None
        self._head = genesis(stream)
        self._messages = 0
        self._unmatched: _Unmatched | None = None
        self.found_instead: str | None = None
        """Hash of a message that stands where another one should: its own row says where it belongs (`moved`)."""

    @property
    def sequence(self) -> int:
        """Up to where the stream was compared."""
        return self._head.sequence

    def compare(
        self, messages: Sequence[StoredMessage], rows: Sequence[AuditRow], kept_since: datetime | None = None
    ) -> Difference | None:
        """The next page of both: all messages and all rows up to one sequence. Of reads, what was recorded before
        `kept_since` may have aged out of the stream; None: nothing does."""
        self._kept_since = None if is_truth(self._stream) else kept_since
        for sequence, message, row in _side_by_side(messages, rows):
            difference = self._entry(sequence, message, row)
            if difference is not None:
                return difference
        return None

    def end(self) -> Difference | None:
        """No row follows."""
        if self._unmatched is None:
            return None
        return self._rows_missing(self._unmatched)

    def _entry(self, sequence: int, message: StoredMessage | None, row: AuditRow | None) -> Difference | None:
        if row is None:
            assert message is not None
            return self._without_row(sequence, message)
        difference = self._behind_unmatched(row) or self._gap(sequence, message)
        if difference is None:
            difference = self._without_message(row) if message is None else self._both(message, row)
        self._head = type(self._head)(sequence, row.chain)
        return difference

    def _without_row(self, sequence: int, message: StoredMessage) -> Difference | None:
        pending = self._unmatched or _Unmatched(sequence, 0, self._head.chain)
        gap = self._gap(sequence, message, self._head.sequence + pending.count)
        pending.folded = link(pending.folded, sequence, _hash(message))
        pending.count += 1
        self._unmatched = pending
        return gap

    def _behind_unmatched(self, row: AuditRow) -> Difference | None:
        pending = self._unmatched
        if pending is None:
            return None
        if self._follows(row):
            return self._found("message_inserted", pending.first, "the chain goes on behind it as if it were not there")
        return self._rows_missing(pending)

    def _rows_missing(self, pending: _Unmatched) -> Difference:
        rows = "its audit row is" if pending.count == 1 else f"the audit rows of {pending.count} messages are"
        return self._found("row_missing", pending.first, f"{rows} gone")

    def _gap(self, sequence: int, message: StoredMessage | None, before: int | None = None) -> Difference | None:
        """Sequences are given out one by one: what stands on neither side was removed from both. At the beginning of
        a stream of reads, both may be gone together, by age."""
        before = self._head.sequence if before is None else before
        aged = before == 0 and self._kept_since is not None and message is not None
        if sequence == before + 1 or aged:
            return None
        return self._found("entry_missing", before + 1, "neither a message nor an audit row stands there")

    def _without_message(self, row: AuditRow) -> Difference | None:
        if not self._follows(row):
            what = "its chain does not follow from the row before, and there is no message"
            return self._found("row_inserted", row.sequence, what)
        aged = self._kept_since is not None and row.recorded_at < self._kept_since
        if aged and self._messages == 0:
            return None
        return self._found("message_missing", row.sequence, f"{row.type} {row.event_id} is gone, or cannot be read")

    def _both(self, message: StoredMessage, row: AuditRow) -> Difference | None:
        self._messages += 1
        found = _hash(message)
        if found != row.sha256:
            if not self._follows(row):
                return self._found("row_changed", row.sequence, "its sha256 is not that of the message")
            if row.sequence == 1 and is_truth(self._stream):
                return self._found("other_log", 1, f"the log begins with another event than {row.type} {row.event_id}")
            self.found_instead = found
            what = f"it is not {row.type} {row.event_id} as it was recorded"
            return self._found("message_changed", row.sequence, what)
        expected = row_of(self._shard, message, link(self._head.chain, row.sequence, found))
        if expected != row:
            wanted, there = asdict(expected), asdict(row)
            names = ", ".join(name for name, value in wanted.items() if value != there[name])
            return self._found("row_changed", row.sequence, f"not what the message says: {names}")
        return None

    def _follows(self, row: AuditRow) -> bool:
        try:
            return link(self._head.chain, row.sequence, row.sha256) == row.chain
        except ValueError:  # its hash is none
            return False

    def _found(self, kind: DifferenceKind, sequence: int, detail: str) -> Difference:
        return Difference(kind=kind, where=self._stream, sequence=sequence, detail=detail)


def moved(difference: Difference, belongs: int | None) -> Difference:
    """The difference, knowing at which sequence the message that was found instead belongs (None: nowhere)."""
    if belongs is None or belongs == difference.sequence:
        return difference
    detail = f"the message of {belongs} stands there"
    return difference.model_copy(update={"kind": "message_moved", "detail": detail})


def against(head: ChainHead, incarnation: str, chain: str | None, last: int) -> Difference | None:
    """A head that was exported before, against the chain as it stands: `chain` at its sequence (None: there is no row),
    `last` sequence of the stream, `incarnation` of the shard."""

    def found(kind: DifferenceKind, detail: str) -> Difference:
        return Difference(kind=kind, where=head.stream, sequence=head.sequence, detail=detail)

    if head.incarnation != incarnation:
        return found("other_log", "the anchor is of another log: its first event is another one")
    if head.sequence > last:
        return found("log_cut", f"the anchor knows {head.sequence} messages, the stream ends at {last}")
    if head.sequence == 0:
        return None if head.head == genesis(head.stream).chain else found("chain_differs", "it is no chain's beginning")
    if chain is None:
        return found("entry_missing", "the audit has no row there")
    if chain != head.head:
        return found("chain_differs", "something up to there was changed, on both sides, since the anchor was made")
    return None


def _hash(message: StoredMessage) -> str:
    return sha256(message.data).hexdigest()


def _side_by_side(
    messages: Sequence[StoredMessage], rows: Sequence[AuditRow]
) -> Iterator[tuple[int, StoredMessage | None, AuditRow | None]]:
    by_sequence = {message.sequence: message for message in messages}
    row_by_sequence = {row.sequence: row for row in rows}
    for sequence in sorted(by_sequence.keys() | row_by_sequence.keys()):
        yield sequence, by_sequence.get(sequence), row_by_sequence.get(sequence)

"""Rows of the read models as the views that leave."""

import base64
import binascii
import hashlib
import json
from datetime import datetime

from contracts import ids
from contracts.api import App, FoundMemory, HistoryEntry, Memory, MemoryDetail, OperationResult
from contracts.codec import timestamp
from contracts.errors import InvalidInput
from contracts.positions import Position
from runtime.postgres import Row

from gateway.use_cases.commanding import Sent


def epoch(moment: datetime) -> int:
    """Whole epoch seconds."""
    return int(moment.timestamp())


def found_view(row: Row, score: float | None = None) -> FoundMemory:
    """A memory as MCP tools show it."""
    text: str = row["text"]
    return FoundMemory(
        id=row["memory_id"],
        memory=text,
        score=None if score is None else round(score, 4),
        categories=row["categories"],
        source_app=row["app_name"],
        created_at=epoch(row["created_at"]),
        updated_at=epoch(row["updated_at"]),
        hash=hashlib.sha256(text.encode()).hexdigest(),
    )


def memory_view(row: Row) -> Memory:
    """A memory as REST lists it."""
    return Memory(
        id=row["memory_id"],
        content=row["text"],
        created_at=epoch(row["created_at"]),
        state=row["state"],
        app_id=row["app_id"],
        app_name=row["app_name"],
        categories=row["categories"],
        metadata_=row["metadata"],
    )


def operation_result(sent: Sent) -> OperationResult:
    """How far a write is, as its sender is told."""
    return OperationResult(
        results=sent.items,
        operation_id=sent.command_id,
        position=None if sent.position is None else str(sent.position),
        state=sent.state,
        reason=sent.reason,
    )


def app_view(row: Row) -> App:
    """An app with its totals."""
    return App(
        id=row["app_id"],
        name=row["name"],
        is_active=row["is_active"],
        total_memories_created=row["created"],
        total_memories_accessed=row["accessed"],
    )


def detail_view(row: Row) -> MemoryDetail:
    """A memory as its owner gets it."""
    return MemoryDetail(
        id=row["memory_id"],
        text=row["text"],
        created_at=epoch(row["created_at"]),
        updated_at=epoch(row["updated_at"]),
        state=row["state"],
        app_id=row["app_id"],
        app_name=row["app_name"],
        categories=row["categories"],
        metadata_=row["metadata"],
        version=row["version"],
    )


def history_entry(row: Row) -> HistoryEntry:
    """One change of a memory."""
    return HistoryEntry(
        event=row["event"],
        version=row["version"],
        state=row["state"],
        text=row["text"],
        categories=row["categories"],
        at=timestamp(row["occurred_at"]),
        recorded_at=timestamp(row["recorded_at"]),
        app_name=ids.OWN_APP if row["app_id"] == ids.OWN_APP else row["app_name"],
        actor=row["actor"],
        position=str(Position(row["shard"], row["sequence"])),
    )


def cursor_behind(row: Row) -> str:
    """What the next page of an app's list is asked for with."""
    fields = [row["created_at"].isoformat(), row["memory_id"]]
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Time and id that the page before ended with. Raises `InvalidInput`."""
    try:
        at, memory_id = json.loads(base64.urlsafe_b64decode(cursor))
        return datetime.fromisoformat(at), ids.parse_uuid(memory_id)
    except (ValueError, TypeError, binascii.Error, InvalidInput):
        raise InvalidInput("'cursor' is not one that Memlog returned; pass next_cursor back unchanged") from None

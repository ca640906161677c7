"""The rows of a backup in OpenMemory's format: what has to be in each, and how it is checked. More may be in them."""

import json
import uuid
from datetime import UTC, datetime
from typing import Annotated, Literal

from contracts.errors import InvalidInput
from contracts.ids import parse_uuid
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from gateway.inputs import MAX_CATEGORIES, TOO_LARGE, Metadata, Name, Text

LISTS = ("apps", "categories", "memories", "memory_categories", "status_history", "access_controls")
REQUIRED = ("apps", "categories", "memories", "memory_categories", "access_controls")
KEYS = {*LISTS, "user", "export_meta"}
MAX_METADATA = 1024 * 1024
FOREIGN_DESCRIPTION = "Automatically created category"
"""How OpenMemory's descriptions begin that say nothing."""


def _check_id(value: str) -> str:
    try:
        return parse_uuid(value)
    except InvalidInput:
        raise PydanticCustomError("invalid_id", "is not a UUID") from None


def _parse_time(value: object) -> object:
    """ISO 8601; without a zone it is UTC."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("invalid_time", "is not a time in ISO 8601") from None


def _no_metadata(value: object) -> object:
    return {} if value is None else value


def _check_metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(value)) > MAX_METADATA:
        raise PydanticCustomError(TOO_LARGE, "is larger than the {limit} bytes allowed", {"limit": MAX_METADATA})
    return value


Id = Annotated[str, AfterValidator(_check_id)]
Moment = Annotated[datetime, BeforeValidator(_parse_time)]


class Row(BaseModel):
    """Base of the rows."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class AppRow(Row):
    id: Id
    name: Name
    is_active: bool = True


class CategoryRow(Row):
    id: Id
    name: Name
    description: Annotated[str, Field(max_length=100_000)] | None = None


class LinkRow(Row):
    memory_id: Id
    category_id: Id


class StatusRow(Row):
    memory_id: Id
    changed_at: Moment | None = None


class RuleRow(Row):
    """Of OpenMemory's rules those of apps about memories; `category` is an object of Memlog's own."""

    subject_type: Literal["app"]
    subject_id: Id
    object_type: Literal["memory", "category"]
    object_id: Id | None = None
    effect: Literal["allow", "deny"]


class MemoryRow(Row):
    id: Id
    app_id: Id | None = None
    content: Text
    metadata: Annotated[Metadata, BeforeValidator(_no_metadata), AfterValidator(_check_metadata)] = {}
    state: Literal["active", "paused", "archived", "deleted"] = "active"
    created_at: Moment | None = None
    updated_at: Moment | None = None
    archived_at: Moment | None = None
    deleted_at: Moment | None = None
    category_ids: Annotated[list[Id], Field(max_length=MAX_CATEGORIES)] = []

    @property
    def changed_at(self) -> datetime | None:
        """When it changed last, if that is known and was after it was made."""
        known = [at for at in (self.updated_at, self.archived_at, self.deleted_at) if at is not None]
        last = max(known, default=None)
        return last if last is not None and self.created_at is not None and last > self.created_at else None


class MetaRow(Row):
    """`generator` and `default_access` are Memlog's own."""

    generator: str | None = None
    default_access: Literal["allow", "own"] | None = None


ROWS: dict[str, type[Row]] = {
    "apps": AppRow,
    "categories": CategoryRow,
    "memories": MemoryRow,
    "memory_categories": LinkRow,
    "status_history": StatusRow,
    "access_controls": RuleRow,
}


def short(id_: str) -> bytes:
    """An id in 16 bytes."""
    return uuid.UUID(id_).bytes

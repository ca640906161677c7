"""The arguments of the tools: what is checked, and the schemas that clients are shown."""

from typing import Annotated

from contracts.promises import Wait
from pydantic import BaseModel, Field

from gateway.inputs import (
    MAX_LIMIT,
    MAX_LIST_LIMIT,
    STRICT,
    AsOf,
    Categories,
    MemoryId,
    MemoryIds,
    Metadata,
    Name,
    Names,
    Needle,
    Query,
    Score,
    Text,
)

WaitFor = Annotated[
    Wait, Field(description="How far the write must be before the answer: accepted (durable), stored, or searchable")
]
Key = Annotated[Name | None, Field(description="Repeat it when you retry: the same key has one effect")]


class Arguments(BaseModel):
    """Base: an unknown argument or one of another type is refused."""

    model_config = STRICT


class NoArguments(Arguments):
    pass


class AddMemories(Arguments):
    text: Text = Field(description="What to remember, in full sentences that make sense on their own")
    infer: bool = Field(default=True, description="Extract facts where a model is configured; else stored verbatim")
    metadata: Metadata | None = Field(default=None, description="Anything to keep with it, as JSON")
    categories: Categories = Field(default=[], description="Categories to file it under; left out, they are found")
    idempotency_key: Key = None
    wait: WaitFor = "searchable"


class SearchMemory(Arguments):
    query: Query = Field(description="A question or keywords")
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT)
    categories: Names | None = Field(default=None, description="Only memories in any of these categories, in any case")
    apps: Names | None = Field(default=None, description="Only memories that these apps wrote")
    as_of: AsOf | None = None
    min_score: Score | None = Field(default=None, description="Leave out what scores lower (0 to 1)")


class ListMemories(Arguments):
    limit: int = Field(default=100, ge=1, le=MAX_LIST_LIMIT)
    cursor: Needle | None = Field(default=None, description="The next_cursor of the page before")
    as_of: AsOf | None = None


class UpdateMemory(Arguments):
    memory_id: MemoryId
    text: Text = Field(description="The whole new text; it replaces the old one")
    idempotency_key: Key = None
    wait: WaitFor = "searchable"


class DeleteMemories(Arguments):
    memory_ids: MemoryIds
    idempotency_key: Key = None
    wait: WaitFor = "searchable"


class DeleteAllMemories(Arguments):
    wait: WaitFor = "searchable"


class GetMemoryHistory(Arguments):
    memory_id: MemoryId

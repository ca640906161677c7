"""Memories as resources: `memory://{id}`, for people who attach one to a conversation.

An app is shown what its tools would show it, and each answer is audited as theirs are.
"""

from datetime import UTC, datetime

from contracts.api import FoundMemory
from contracts.errors import InvalidInput, NotFound
from contracts.ids import parse_uuid
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    Annotations,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway.mcp.boundary import Context, caller_in
from gateway.service import MemoryService, Scope

SCHEME = "memory://"
_MIME = "text/plain"
_META_KEY = "memlog/memory"
_PAGE = 100
_TITLE = 80
_RETIRED_NOT_FOUND = -32002
"""What revisions before 2026-07-28 answer for a resource that does not exist."""

_TEMPLATE = ResourceTemplate(
    uri_template=SCHEME + "{id}",
    name="memory",
    title="Memory",
    description="The text of one memory, by its id as the tools give it.",
    mime_type=_MIME,
)


class Resources:
    """Handlers of `resources/*`."""

    def __init__(self, service: MemoryService, default_user: str) -> None:
        self._service = service
        self._default_user = default_user

    async def listed(self, ctx: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """A page of the memories that the app may see, newest first."""
        cursor = None if params is None else params.cursor
        found = await self._service.list_for_app(
            caller_in(ctx, self._default_user, Scope.READ), limit=_PAGE, cursor=cursor
        )
        return ListResourcesResult(resources=[_resource(row) for row in found.results], next_cursor=found.next_cursor)

    async def templates(self, ctx: Context, params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=[_TEMPLATE])

    async def read(self, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """One memory. What is another user's, hidden from the app, or no memory at all is not found alike."""
        try:
            memory_id = parse_uuid(params.uri.removeprefix(SCHEME) if params.uri.startswith(SCHEME) else "")
            found = await self._service.get_for_app(caller_in(ctx, self._default_user, Scope.READ), memory_id)
        except (InvalidInput, NotFound) as error:
            code = INVALID_PARAMS if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS else _RETIRED_NOT_FOUND
            data = {"uri": params.uri, "code": NotFound.code}
            raise MCPError(code, "there is no such resource", data) from error
        said = found.model_dump(mode="json", exclude={"memory"}, exclude_none=True)
        contents = TextResourceContents(uri=params.uri, mime_type=_MIME, text=found.memory, _meta={_META_KEY: said})
        return ReadResourceResult(contents=[contents])


def _resource(memory: FoundMemory) -> Resource:
    updated = datetime.fromtimestamp(memory.updated_at, UTC).isoformat().replace("+00:00", "Z")
    return Resource(
        uri=SCHEME + memory.id,
        name=memory.id,
        title=title_of(memory.memory),
        mime_type=_MIME,
        size=len(memory.memory.encode()),
        annotations=Annotations(last_modified=updated),
    )


def title_of(text: str) -> str:
    """The beginning of a text, on one line of at most 80 characters."""
    line = " ".join(text[: 4 * _TITLE].split())
    return line if len(line) <= _TITLE else f"{line[: _TITLE - 1].rstrip()}…"

"""The fake service's audit: nothing was read yet."""

from contracts.auditing import AuditPage, ReadMemories
from contracts.errors import NotFound
from gateway.service import AuditQuery, Caller


class FakeAuditing:
    async def audit(self, caller: Caller, query: AuditQuery) -> AuditPage:
        return AuditPage(items=[], total=0, page=query.page, size=query.size, pages=0)

    async def read_memories(self, caller: Caller, read_id: str) -> ReadMemories:
        raise NotFound(f"read {read_id} was not found")

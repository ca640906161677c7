"""The part of the fake `MemoryService` that OpenMemory's further routes ask: it knows no apps and no reads, and its
backups hold nothing."""

import io
from typing import BinaryIO, Literal

from contracts.api import Page
from contracts.errors import NotFound
from contracts.openmemory import AccessedMemories, AccessLog, AppDetail, AppMemories, Imported
from gateway.backup.writing import ExportedBackup
from gateway.service import BackupQuery, Caller


class FakeOpenMemory:
    """No app and no memory is known here; a backup holds nothing."""

    async def app(self, caller: Caller, app_id: str) -> AppDetail:
        raise NotFound(f"there is no app {app_id}")

    async def app_memories(self, caller: Caller, app_id: str, *, page: int, page_size: int) -> AppMemories:
        raise NotFound(f"there is no app {app_id}")

    async def app_accessed(self, caller: Caller, app_id: str, *, page: int, page_size: int) -> AccessedMemories:
        raise NotFound(f"there is no app {app_id}")

    async def access_log(self, caller: Caller, memory_id: str, *, page: int, page_size: int) -> AccessLog:
        raise NotFound(f"there is no memory {memory_id}")

    async def related(
        self, caller: Caller, memory_id: str, *, inactive: bool = False, page: int = 1, size: int = 5
    ) -> Page:
        raise NotFound(f"there is no memory {memory_id}")

    async def export_backup(self, caller: Caller, query: BackupQuery) -> ExportedBackup:
        return ExportedBackup(io.BytesIO(b"nothing"), 7)

    async def import_backup(self, caller: Caller, file: BinaryIO, mode: Literal["skip", "overwrite"]) -> Imported:
        size = len(file.read())
        return Imported(message=f"{size} bytes", operation_id="0", state="searchable", memories=0, apps=0, rules=0)

"""Backups in OpenMemory's format: what one holds, and the way in."""

import io
import json
import uuid
import zipfile
from typing import Any

import httpx

EXPORT, IMPORT = "/api/v1/backup/export", "/api/v1/backup/import"
KEYS = {
    "user", "apps", "categories", "memories", "memory_categories", "status_history", "access_controls", "export_meta",
}  # fmt: skip
APP, OTHER_APP = "8f6f5b0e-6f0b-4a52-9c9a-1a35a1b4f001", "8f6f5b0e-6f0b-4a52-9c9a-1a35a1b4f002"
HEALTH = "8f6f5b0e-6f0b-4a52-9c9a-1a35a1b4f003"
MEMORY, ARCHIVED = "8f6f5b0e6f0b4a529c9a1a35a1b4f004", "8f6f5b0e-6f0b-4a52-9c9a-1a35a1b4f005"


def user(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def foreign(**changes: Any) -> dict[str, Any]:
    """A `memories.json` as OpenMemory wrote it, ids with and without dashes, metadata that may be null."""
    me = "8f6f5b0e-6f0b-4a52-9c9a-1a35a1b4f000"
    at = "2025-03-01T08:00:00.123456+00:00"
    return {
        "user": {"id": me, "user_id": "alice", "name": None, "email": None, "metadata": {}, "created_at": at,
                 "updated_at": at},
        "apps": [
            {"id": APP, "owner_id": me, "name": "cursor", "description": None, "metadata": {}, "is_active": True,
             "created_at": at, "updated_at": at},
            {"id": OTHER_APP, "owner_id": me, "name": "claude", "description": None, "metadata": {},
             "is_active": False, "created_at": at, "updated_at": at},
        ],
        "categories": [{"id": HEALTH, "name": "health", "description": "Automatically created category for health",
                        "created_at": at, "updated_at": at}],
        "memories": [
            {"id": MEMORY, "user_id": me, "app_id": APP, "content": "I am allergic to penicillin", "metadata": None,
             "state": "active", "created_at": at, "updated_at": at, "archived_at": None, "deleted_at": None,
             "category_ids": [HEALTH]},
            {"id": ARCHIVED, "user_id": me, "app_id": OTHER_APP, "content": "I lived in Porto", "metadata": {"k": [1]},
             "state": "archived", "created_at": "2025-03-02T08:00:00", "updated_at": "2025-03-03T08:00:00Z",
             "archived_at": "2025-03-03T08:00:00Z", "deleted_at": None, "category_ids": []},
        ],
        "memory_categories": [{"memory_id": MEMORY, "category_id": HEALTH}],
        "status_history": [{"id": str(uuid.uuid4()), "memory_id": ARCHIVED, "changed_by": me, "old_state": "active",
                            "new_state": "archived", "changed_at": "2025-03-03T08:00:00Z"}],
        "access_controls": [{"id": str(uuid.uuid4()), "subject_type": "app", "subject_id": APP,
                             "object_type": "memory", "object_id": ARCHIVED, "effect": "allow", "created_at": at}],
        "export_meta": {"app_id_filter": None, "from_date": None, "to_date": None, "version": "1", "generated_at": at},
        **changes,
    }  # fmt: skip


def zipped(document: object, *more: tuple[str, bytes], name: str = "memories.json") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        data = document if isinstance(document, bytes) else json.dumps(document, indent=2).encode()
        archive.writestr(name, data)
        for extra, content in more:
            archive.writestr(extra, content)
    return file.getvalue()


async def imported(http: httpx.AsyncClient, who: str, data: bytes, **params: str) -> httpx.Response:
    files = {"file": ("backup.zip", data, "application/zip")}
    return await http.post(IMPORT, data={"user_id": who}, files=files, params=params)


async def page(http: httpx.AsyncClient, who: str) -> list[dict[str, Any]]:
    body = {"user_id": who, "size": 100, "show_archived": True, "sort_column": "created_at", "sort_direction": "asc"}
    answer = (await http.post("/api/v1/memories/filter", json=body)).raise_for_status().json()
    assert answer["total"] == len(answer["items"])
    return answer["items"]

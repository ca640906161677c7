"""`/api/v1/backup`: everything of a user in OpenMemory's format, out and in again (surface §1.2)."""

from typing import Annotated, Literal
from urllib.parse import quote

from contracts.errors import BadRequest
from contracts.openmemory import Imported
from fastapi import File, Form, Query, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from gateway.inputs import STRICT, Epoch, Name
from gateway.rest.apps import AppId
from gateway.rest.common import RestDep, json_answer, location, requires, router
from gateway.service import BackupQuery, Scope

routes = router("/api/v1/backup", "backup")
IMPORT_PATH = "/api/v1/backup/import"
"""Takes larger bodies than other routes."""
_MODES: dict[str, Literal["skip", "overwrite"]] = {"skip": "skip", "overwrite": "overwrite"}


class ExportBackup(BaseModel):
    """What to export: all, or the memories of one app, or of a time. Times are epoch seconds, inclusive."""

    model_config = STRICT
    user_id: Name | None = None
    app_id: AppId | None = None
    from_date: Epoch | None = None
    to_date: Epoch | None = None
    include_vectors: bool = Field(default=True, description="Without effect: vectors are made anew from the texts")


@routes.post(
    "/export",
    dependencies=[requires(Scope.READ)],
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}, "description": "memories.json and memories.jsonl.gz"}},
)
async def export_backup(body: ExportBackup, rest: RestDep) -> Response:
    """All memories in every state, with apps, categories, changes of state and access rules, as of one moment. It is a
    read, and audited as an export."""
    caller = rest.caller(body.user_id)
    query = BackupQuery(app_id=body.app_id, from_date=body.from_date, to_date=body.to_date)
    exported = await rest.service.export_backup(caller, query)
    name = f"memories_export_{caller.user}.zip"
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "._-@ ") else "_" for char in name)
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Length": str(exported.size),
    }
    return StreamingResponse(exported.chunks(), media_type="application/zip", headers=headers)


@routes.post(
    "/import",
    dependencies=[requires(Scope.ADMIN)],
    response_model=Imported,
    responses={202: {"model": Imported, "description": "Durable, not done yet; `Location` is its operation"}},
)
async def import_backup(
    rest: RestDep,
    file: Annotated[UploadFile, File(description="The zip of an export, from Memlog or from OpenMemory")],
    user_id: Annotated[
        Name | None, Form(description="Whose memories they become; the default user when absent")
    ] = None,
    mode: Annotated[
        str, Query(description="`skip`: what is there already stays as it is; or `overwrite`")
    ] = "overwrite",
) -> Response:
    """Bring a backup in: memories keep id, app, state, categories and times, apps and rules come with them. The whole
    file is checked first; what is wrong with it is named, and then nothing is imported."""
    chosen = _MODES.get(mode)
    if chosen is None:
        raise BadRequest(f"mode: '{mode[:80]}' is none of {', '.join(_MODES)}")
    done = await rest.service.import_backup(rest.caller(user_id), file.file, chosen)
    if done.state != "searchable":
        return json_answer(done, 202, location(done.operation_id))
    return json_answer(done)

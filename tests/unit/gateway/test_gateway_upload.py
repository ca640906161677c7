"""Backups are larger than other bodies, and still bounded, whatever length they say they have."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from gateway.app import GatewayOptions, create_app
from support.fake_service import FakeService

LIMIT = 200_000
HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="b.zip"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


async def send(path: str, size: int, *, chunked: bool) -> httpx.Response:
    app = create_app(FakeService(), GatewayOptions(version="1", max_body_bytes=1_000, max_import_bytes=LIMIT))

    async def parts() -> AsyncGenerator[bytes]:
        yield HEAD
        for start in range(0, size, 10_000):
            yield bytes(min(10_000, size - start))
        yield TAIL

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        content = parts() if chunked else HEAD + bytes(size) + TAIL
        return await client.post(path, content=content, headers=headers)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/api/v1/backup/import", "/api/v1/backup/import/"])
async def test_an_upload_passes_up_to_its_own_limit(path: str, chunked: bool) -> None:
    assert (await send(path, LIMIT - 200, chunked=chunked)).json()["message"] == f"{LIMIT - 200} bytes"
    refused = await send(path, LIMIT + 1, chunked=chunked)
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("chunked", [False, True])
async def test_other_routes_keep_theirs(chunked: bool) -> None:
    refused = await send("/api/v1/backup/export", 2_000, chunked=chunked)
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")

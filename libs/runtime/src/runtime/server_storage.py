"""How full JetStream is, by its monitoring endpoint: beyond its limit it stores nothing any more."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from runtime.http_client import http_client
from runtime.metrics import STORAGE, STORAGE_LIMIT, Value
from runtime.settings import comma_separated

_ASK_EVERY_S = 30.0
_ASK_S = 3.0


class _Config(BaseModel):
    max_storage: int = 0


class _JetStream(BaseModel):
    storage: int = 0
    config: _Config = _Config()


async def follow_storage(monitor_url: str | None) -> None:
    """Ask each server (comma-separated) again and again, until cancelled; metrics tell what those that answer say."""
    said: dict[str, _JetStream] = {}

    def used() -> Iterable[Value]:
        return [(each.storage, {"server": server}) for server, each in [*said.items()]]

    def limits() -> Iterable[Value]:
        return [(each.config.max_storage, {"server": server}) for server, each in [*said.items()]]

    with STORAGE.known(used), STORAGE_LIMIT.known(limits):
        async with http_client(_ASK_S) as http:
            while True:
                for url in comma_separated(monitor_url or ""):
                    server = urlsplit(url).netloc
                    said.pop(server, None)
                    with suppress(httpx.HTTPError, ValidationError):
                        answer = await http.get(f"{url.rstrip('/')}/jsz")
                        said[server] = _JetStream.model_validate_json(answer.raise_for_status().content)
                await asyncio.sleep(_ASK_EVERY_S)

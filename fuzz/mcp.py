"""Fuzzes MCP over Streamable HTTP, both revisions: whatever comes, no 5xx, no internal error, no cut connection."""

import contextlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcp import Client
from mcp_types import INTERNAL_ERROR

from fuzz.generating import send_each
from fuzz.messages import Offer, Sent, requests
from fuzz.tally import Tally, curl

_TIMEOUT_S = 90.0


async def offered(url: str) -> Offer:
    """What the server at `url` offers. Raises what the SDK's client raises."""
    async with Client(f"{url}/mcp") as client:
        tools = (await client.list_tools()).tools
        prompts = (await client.list_prompts()).prompts
        resources = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    return Offer(
        {tool.name: tool.input_schema for tool in tools},
        tuple(prompt.name for prompt in prompts),
        tuple(str(each.uri) for each in resources) + tuple(each.uri_template for each in templates),
    )


@dataclass(slots=True)
class _Fuzzer:
    url: str
    tally: Tally
    headers: Mapping[str, str]
    folder: Path
    _connection: http.client.HTTPConnection | None = None

    def send(self, sent: Sent) -> None:
        """Over the standard library's client, which checks least of what it sends."""
        headers = {**sent.headers, **self.headers}
        try:
            status, body = self._exchange(sent, headers)
        except TimeoutError:
            self._failed("no answer", f"no answer within {_TIMEOUT_S:.0f} s", sent, headers)
        except (http.client.HTTPException, ConnectionError) as error:
            self._failed("cut off", f"{type(error).__name__}", sent, headers)
        else:
            self.tally.answered(status)
            if status >= 500:
                self._tell(f"{status} {body[:80]!r}", sent, headers)
            elif any(_is_internal(message) for message in _messages(body)):
                self._tell("an internal error as JSON-RPC", sent, headers)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, sent: Sent, headers: Mapping[str, str]) -> tuple[int, bytes]:
        self._connection = self._connection or http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=_TIMEOUT_S)
        try:
            return self._over(self._connection, sent, headers)
        except (http.client.HTTPException, OSError):
            self.close()
            raise

    def _over(
        self, connection: http.client.HTTPConnection, sent: Sent, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        connection.putrequest(sent.method, sent.path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1"))
        connection.putheader("Content-Length", str(len(sent.body)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # Refused before the body was taken: the answer may be there all the same.
            connection.endheaders(sent.body)
        response = connection.getresponse()
        body = response.read()
        if response.will_close:
            self.close()
        return response.status, body

    def _failed(self, instead: str, what: str, sent: Sent, headers: Mapping[str, str]) -> None:
        self.tally.answered(instead)
        self._tell(what, sent, headers)

    def _tell(self, what: str, sent: Sent, headers: Mapping[str, str]) -> None:
        self.tally.failed(what, curl(sent.method, f"{self.url}{sent.path}", dict(headers), sent.body, self.folder))


def fuzz_mcp(url: str, tally: Tally, seed: int | None, headers: Mapping[str, str], offer: Offer, folder: Path) -> None:
    """Send `tally.wanted` requests: of this seed, or with None always the same. Bodies of those that failed are kept in
    `folder`."""
    fuzzer = _Fuzzer(url, tally, headers, folder)
    try:
        send_each(requests(offer), tally.wanted, fuzzer.send, seed)
    finally:
        fuzzer.close()


def _messages(body: bytes) -> list[Any]:
    """The JSON-RPC messages of an answer, which is one, or a stream of events."""
    lines = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")] or [body]
    found: list[Any] = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _is_internal(message: Any) -> bool:
    """Whether it says of a defect: a JSON-RPC internal error, or a tool's error of that code."""
    match message:
        case {"error": {"code": code}}:
            return code == INTERNAL_ERROR
        case {"result": {"isError": True, "_meta": {"memlog/code": "internal"}}}:
            return True
        case _:
            return False

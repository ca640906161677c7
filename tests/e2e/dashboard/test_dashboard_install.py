"""What the install panel says is read as each client's own tools read it, and then connects a client."""

import argparse
import json
import re
import shlex
import tomllib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from playwright.async_api import Browser, Page, expect
from support.browser import Windows
from support.stack import Stack, call, running_stack

INSTALLED = ("Claude", "Cursor", "Cline", "Roo Cline", "Windsurf", "Witsy", "Enconvo")
"""By install-mcp, which knows these names; it hands the address to mcp-remote."""


@dataclass(frozen=True, slots=True)
class Server:
    """How a client reaches it: the app in the path, the address, and what it sends."""

    app: str
    transport: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class _Strict(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise AssertionError(message)


def _header(line: str | None) -> dict[str, str]:
    name, _, value = (line or "").partition(":")
    return {name.strip(): value.strip()} if line else {}


def by_install_mcp(text: str) -> Server:
    parser = _Strict()
    for word in ("npx", "tool", "target"):
        parser.add_argument(word)
    for option in ("--client", "--name", "--header"):
        parser.add_argument(option, required=option != "--header")
    parser.add_argument("--oauth", choices=["no"], required=True)
    given = parser.parse_args(shlex.split(text))
    assert (given.npx, given.tool, given.name) == ("npx", "install-mcp", "memlog")
    return Server(given.client, "sse", given.target, _header(given.header))


def by_claude_code(text: str) -> Server:
    parser = _Strict()
    for word in ("claude", "mcp", "add", "name", "url"):
        parser.add_argument(word)
    parser.add_argument("-s", "--scope", choices=["local", "user", "project"])
    parser.add_argument("-t", "--transport", choices=["stdio", "sse", "http"])
    parser.add_argument("-H", "--header")
    given = parser.parse_args(shlex.split(text))
    assert (given.claude, given.mcp, given.add, given.name) == ("claude", "mcp", "add", "memlog")
    return Server("claude", given.transport, given.url, _header(given.header))


def by_json(app: str, servers: str, address: str, kind: str | None) -> Callable[[str], Server]:
    def read(text: str) -> Server:
        found = json.loads(text)[servers]["memlog"]
        assert found.get("type") == kind
        return Server(app, "http", found[address], found.get("headers", {}))

    return read


def by_codex(text: str) -> Server:
    found = tomllib.loads(text)["mcp_servers"]["memlog"]
    return Server("codex", "http", found["url"], found.get("http_headers", {}))


READ: Mapping[str, Callable[[str], Server]] = {
    "MCP Link": lambda text: Server("openmemory", "sse", *_link(text)),
    **dict.fromkeys(INSTALLED, by_install_mcp),
    "Augment": by_json("augment", "mcpServers", "url", "http"),
    "VS Code": by_json("vscode", "servers", "url", "http"),
    "Claude Code": by_claude_code,
    "Codex": by_codex,
    "Gemini CLI": by_json("gemini", "mcpServers", "httpUrl", None),
}


def _link(text: str) -> tuple[str, dict[str, str]]:
    url, _, header = text.partition("\n")
    return url, _header(header)


async def shown(page: Page, name: str) -> str:
    await page.get_by_role("tab", name=name, exact=True).click()
    return "\n".join(await page.locator("[role=tabpanel] pre").all_inner_texts())


@asynccontextmanager
async def connected(server: Server) -> AsyncGenerator[Client]:
    if server.transport == "sse":
        async with Client(sse_client(server.url, headers=dict(server.headers)), mode="legacy") as client:
            yield client
    else:
        async with (
            httpx2.AsyncClient(headers=dict(server.headers), timeout=60.0) as http,
            Client(streamable_http_client(server.url, http_client=http), mode="legacy") as client,
        ):
            yield client


async def test_what_the_install_panel_says_connects_each_client(stack: Stack, windows: Windows) -> None:
    page = await windows.open("/")
    await expect(page.get_by_role("tab", name="MCP Link")).to_be_visible()
    assert await page.get_by_role("tab").all_inner_texts() == list(READ)
    for name, read in READ.items():
        server = read(await shown(page, name))
        assert server.url == f"{stack.url}/mcp/{server.app}/{server.transport}/default" and not server.headers
        async with connected(server) as client:
            await call(client, "list_memories", limit=1)
    # mcp-remote first tries Streamable HTTP wherever it is sent, and goes on to SSE when it is told that it is not.
    async with stack.http() as http:
        assert (await http.post("/mcp/cursor/sse/default", json={})).status_code in (404, 405)


@pytest.fixture(scope="module")
async def closed(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack]:
    """A Memlog that asks for tokens."""
    async with running_stack(tmp_path_factory.mktemp("closed") / "home", MEMLOG_AUTH="token") as stack:
        yield stack


async def _token(stack: Stack, *scopes: str) -> str:
    """A token of the person, for the dashboard."""
    headers = {"Authorization": f"Bearer {(stack.home / 'admin-token').read_text().strip()}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=60.0) as http:
        issued = await http.post("/api/v1/tokens", json={"user_id": "o'hara & ada", "scopes": scopes})
        return issued.raise_for_status().json()["token"]


async def test_with_a_token_of_its_own_each_client_is_let_in_as_what_it_is(closed: Stack, browser: Browser) -> None:
    windows = Windows(browser, closed.url)
    mine = await _token(closed, "read", "write", "admin")
    page = await windows.open("/")
    await page.get_by_label("Token").fill(mine)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("tab", name="MCP Link")).to_be_visible()
    tokens: set[str] = set()
    for name, read in READ.items():
        assert read(await shown(page, name)).headers == {"Authorization": "Bearer <token>"}
        await page.get_by_role("button", name=f"Create a token for {name}").click()
        await expect(page.get_by_text("This token is shown only once")).to_be_visible()
        server = read(await shown(page, name))
        assert server.url == f"{closed.url}/mcp/{server.app}/{server.transport}/o'hara%20%26%20ada"
        tokens.add(server.headers["Authorization"])
        async with connected(server) as client:
            await call(client, "add_memories", text=f"{name} is connected", infer=False)
    assert len(tokens) == len(READ)
    await page.reload()
    assert "<token>" in await shown(page, "Cursor")
    await page.goto("/tokens")
    for name in ("Claude", "Claude Code"):
        row = page.get_by_role("listitem").filter(has=page.get_by_text(name, exact=True))
        await expect(row).to_have_text(
            re.compile(rf"^claude{name}token:\w+, issued by token:\w+activereadwriteissued .* expires ")
        )
    await windows.close()
    assert windows.wrong == []


async def test_who_may_issue_no_token_is_told_who_may(closed: Stack, browser: Browser) -> None:
    windows = Windows(browser, closed.url)
    page = await windows.open("/")
    await page.get_by_label("Token").fill(await _token(closed, "read", "write"))
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("Your own token cannot issue one")).to_be_visible()
    await expect(page.get_by_role("button", name="Create a token")).to_have_count(0)
    await windows.close()
    assert windows.wrong == []

"""The same three calls over REST, over MCP as bare JSON-RPC, and with the MCP SDK's client."""

from contextlib import AsyncExitStack
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlencode

from mcp import Client
from mcp_types import Implementation

from bench.wire import Connection, RequestFailed

Wait = Literal["accepted", "stored", "searchable"]
_REVISION = "2026-07-28"
_APP = "bench"


class MemoryClient(Protocol):
    """One client of Memlog, one call at a time. Raises `RequestFailed` for what is not the success asked for."""

    async def add(self, text: str, wait: Wait) -> dict[str, Any]: ...

    async def search(self, query: str) -> list[dict[str, Any]]: ...

    async def list(self) -> list[dict[str, Any]]:
        """The newest 50 memories."""
        ...

    async def close(self) -> None: ...


class Rest:
    """REST, as the app `bench` unless told."""

    def __init__(self, connection: Connection, user: str, app: str = _APP) -> None:
        self._connection = connection
        self._user = user
        self._app = app

    async def add(self, text: str, wait: Wait) -> dict[str, Any]:
        body = {"text": text, "user_id": self._user, "app": self._app, "wait": wait}
        answer = await self._connection.post("/api/v1/memories", body)
        result = answer.json()
        # A searchable write is answered with the memory itself.
        if wait == "searchable" and "content" in result:
            return result
        return _reached(result, wait)

    async def search(self, query: str, app: str | None = None, category: str | None = None) -> list[dict[str, Any]]:
        """Among all memories, or those that this app wrote, of this category."""
        bounds = {name: value for name, value in (("apps", app), ("categories", category)) if value is not None}
        asked = urlencode({"user_id": self._user, "query": query, "app": self._app, **bounds})
        return (await self._connection.get(f"/api/v1/search?{asked}")).json()["results"]

    async def list(self) -> list[dict[str, Any]]:
        return (await self.page())["items"]

    async def page(self, **parameters: str | int) -> dict[str, Any]:
        """A page of the owner's list, of 50 unless told: `GET /api/v1/memories`."""
        asked = urlencode({"user_id": self._user, "size": 50, **parameters})
        return (await self._connection.get(f"/api/v1/memories?{asked}")).json()

    async def filter(self, **fields: Any) -> dict[str, Any]:
        """A page of the owner's list, of 50 unless told, as a dashboard filters it: `POST /api/v1/memories/filter`."""
        body = {"user_id": self._user, "size": 50, **fields}
        return (await self._connection.post("/api/v1/memories/filter", body)).json()

    async def ids_of_apps(self) -> dict[str, str]:
        """The id of each app by its name."""
        answer = await self._connection.get(f"/api/v1/apps?user_id={quote(self._user)}&page_size=100")
        return {app["name"]: app["id"] for app in answer.json()["apps"]}

    async def ids_of_categories(self) -> dict[str, str]:
        """The id of each category by its name."""
        answer = await self._connection.get(f"/api/v1/memories/categories?user_id={quote(self._user)}")
        return {category["name"]: category["id"] for category in answer.json()["categories"]}

    async def close(self) -> None:
        self._connection.close()


class McpWire:
    """MCP's 2026-07-28 wire by hand: what the SDK's client sends, without the SDK's cost in the load generator."""

    def __init__(self, connection: Connection, user: str) -> None:
        self._connection = connection
        self._path = f"/mcp/{_APP}/http/{quote(user)}"
        self._next = 0

    async def add(self, text: str, wait: Wait) -> dict[str, Any]:
        return _reached(await self._call("add_memories", {"text": text, "wait": wait}), wait)

    async def search(self, query: str) -> list[dict[str, Any]]:
        return (await self._call("search_memory", {"query": query}))["results"]

    async def list(self) -> list[dict[str, Any]]:
        return (await self._call("list_memories", {"limit": 50}))["results"]

    async def close(self) -> None:
        self._connection.close()

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        self._next += 1
        meta = {
            "io.modelcontextprotocol/protocolVersion": _REVISION,
            "io.modelcontextprotocol/clientInfo": {"name": _APP, "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        headers = (
            "accept: application/json, text/event-stream\r\n"
            f"mcp-protocol-version: {_REVISION}\r\nmcp-method: tools/call\r\nmcp-name: {tool}\r\n"
        )
        message = {"jsonrpc": "2.0", "id": self._next, "method": "tools/call", "params": params}
        result = (await self._connection.post(self._path, message, headers)).json().get("result")
        if result is None or result["isError"]:
            raise RequestFailed(f"{tool}: {result}")
        return result["structuredContent"]


class McpSdk:
    """The MCP SDK's client, as agents use it."""

    def __init__(self, client: Client, owned: AsyncExitStack) -> None:
        self._client = client
        self._owned = owned

    async def add(self, text: str, wait: Wait) -> dict[str, Any]:
        return _reached(await self._call("add_memories", {"text": text, "wait": wait}), wait)

    async def search(self, query: str) -> list[dict[str, Any]]:
        return (await self._call("search_memory", {"query": query}))["results"]

    async def list(self) -> list[dict[str, Any]]:
        return (await self._call("list_memories", {"limit": 50}))["results"]

    async def close(self) -> None:
        await self._owned.aclose()

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        if result.is_error or result.structured_content is None:
            raise RequestFailed(f"{tool}: {result.content}")
        return result.structured_content


Transport = Literal["rest", "mcp", "mcp-sdk"]


def over(connection: Connection, transport: Literal["rest", "mcp"], user: str) -> MemoryClient:
    """A client on this connection, as the app `bench` of this user."""
    return Rest(connection, user) if transport == "rest" else McpWire(connection, user)


async def connect(transport: Transport, port: int, user: str) -> MemoryClient:
    """A client on a connection of its own, as the app `bench` of this user. The owner of the SDK's client must close
    it in the task that opened it."""
    match transport:
        case "rest" | "mcp":
            return over(await Connection.open("127.0.0.1", port), transport, user)
        case "mcp-sdk":
            owned = AsyncExitStack()
            url = f"http://127.0.0.1:{port}/mcp/{_APP}/http/{quote(user)}"
            info = Implementation(name=_APP, version="1")
            client = Client(url, mode=_REVISION, client_info=info, read_timeout_seconds=60)
            return McpSdk(await owned.enter_async_context(client), owned)


def _reached(result: dict[str, Any], wait: Wait) -> dict[str, Any]:
    order = ("accepted", "stored", "searchable")
    if order.index(result["state"]) < order.index(wait):
        raise RequestFailed(f"asked for {wait}, reached {result['state']} only")
    return result

"""Who is connected: to one gateway, as gateways say to each other, and to all of them, as the owner sees it."""

from typing import Literal

from pydantic import Field

from contracts.api import View

Kind = Literal["calls", "sse", "events"]


class Connection(View):
    """A client of the user. `sse`: an open stream of MCP; `events`: one of the log, as browsers have it; `calls`: one
    that speaks MCP over Streamable HTTP, which are single calls, and is connected while they come."""

    app: str
    kind: Kind
    since: int = Field(description="Epoch seconds: when the stream was opened; of `calls`, the first of them")
    last_call: int | None = Field(description="Epoch seconds; null for who only listens, or has said nothing yet")


class ConnectionList(View):
    """Newest first. `gateways`: how many have answered in time; these are theirs."""

    connections: list[Connection]
    gateways: int


class ConnectionsRequest(View):
    """Asked of every gateway (`subjects.CONNECTIONS`): who is connected to you for this user, by name?"""

    user: str

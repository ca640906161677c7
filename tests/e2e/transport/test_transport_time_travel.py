"""`as_of` reaches the service from each route and tool that reads the past, as it was said."""

import httpx
import pytest
from support.running_gateway import RunningGateway

MOMENT = "2026-11-01T12:00:00+01:00"


@pytest.mark.parametrize("path", ["/api/v1/memories", "/api/v1/memories/", "/api/v1/search"])
async def test_a_list_and_a_search_over_rest_may_be_of_the_past(
    http: httpx.AsyncClient, gateway: RunningGateway, path: str
) -> None:
    for moment in (None, MOMENT, "1700000000", "0-17"):
        given = {} if moment is None else {"as_of": moment}
        (await http.get(path, params={"query": "tea", **given} if "search" in path else given)).raise_for_status()
    assert gateway.service.moments == [None, MOMENT, "1700000000", "0-17"]


async def test_a_memory_and_the_filtered_list_may_be_of_the_past(
    http: httpx.AsyncClient, gateway: RunningGateway
) -> None:
    made = (await http.post("/api/v1/memories", json={"text": "Likes tea"})).json()
    (await http.get(f"/api/v1/memories/{made['id']}", params={"as_of": MOMENT})).raise_for_status()
    (await http.post("/api/v1/memories/filter", json={"as_of": MOMENT})).raise_for_status()
    assert gateway.service.moments == [MOMENT, MOMENT]


async def test_the_tools_that_read_take_the_past_as_text(gateway: RunningGateway) -> None:
    async with gateway.mcp("2026-07-28") as client:
        await client.call_tool("search_memory", {"query": "tea", "as_of": MOMENT})
        await client.call_tool("list_memories", {"as_of": "0-17"})
        refused = await client.call_tool("list_memories", {"as_of": 1700000000})
        schemas = {tool.name: tool.input_schema["properties"] for tool in (await client.list_tools()).tools}
    assert gateway.service.moments == [MOMENT, "0-17"]
    assert refused.is_error
    assert {name for name, properties in schemas.items() if "as_of" in properties} == {"search_memory", "list_memories"}

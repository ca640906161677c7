"""Questions to the indexer: over core NATS, so that embedder and vector store have one owner."""

from contracts.api import SearchHit, SearchReply, SearchRequest
from contracts.errors import Unavailable
from contracts.subjects import SEARCH
from nats.aio.client import Client
from runtime.errors import NATS_FAILURES
from runtime.telemetry import trace_headers


async def ask_indexer(client: Client, request: SearchRequest) -> list[SearchHit]:
    """The best hits first. Raises `Unavailable` when no indexer answers, or when it says that it cannot."""
    try:
        reply = await client.request(
            SEARCH, request.model_dump_json().encode(), timeout=request.timeout_s, headers=trace_headers() or None
        )
    except NATS_FAILURES as error:
        raise Unavailable(f"the indexer does not answer a search ({type(error).__name__}); writes go on") from error
    answer = SearchReply.model_validate_json(reply.data)
    if answer.error is not None:
        raise Unavailable(f"the indexer cannot search: {answer.error}")
    return answer.hits

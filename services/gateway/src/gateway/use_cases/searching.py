"""Questions to the indexer: over core NATS, so that embedder and vector store have one owner."""

from contracts.api import SearchHit, SearchReply, SearchRequest
from contracts.errors import InvalidInput, Unavailable
from contracts.subjects import SEARCH
from nats.aio.client import Client
from nats.errors import MaxPayloadError
from runtime.errors import NATS_FAILURES
from runtime.telemetry import trace_headers


async def ask_indexer(client: Client, request: SearchRequest) -> list[SearchHit]:
    """The best hits first. Raises `Unavailable` when no indexer answers, or when it says that it cannot, and
    `InvalidInput` when too much is asked for at once."""
    try:
        reply = await client.request(
            SEARCH, request.model_dump_json().encode(), timeout=request.timeout_s, headers=trace_headers() or None
        )
    except MaxPayloadError:
        raise InvalidInput("too many memories to search in the past at once; name categories or apps") from None
    except NATS_FAILURES as error:
        raise Unavailable(f"the indexer does not answer a search ({type(error).__name__}); writes go on") from error
    answer = SearchReply.model_validate_json(reply.data)
    if answer.error is not None:
        raise Unavailable(f"the indexer cannot search: {answer.error}")
    return answer.hits

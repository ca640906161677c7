"""Which memories archive policies would put away: read models know it, and others may ask over NATS."""

import structlog
from contracts.archiving import DueMemory, DueReply, DueRequest
from contracts.errors import InvalidInput, MemlogError
from contracts.subjects import DUE
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError
from runtime.nats import subscribe
from runtime.postgres import Pool, postgres_errors

log = structlog.get_logger()

_DUE = """
    SELECT p.uid, p.policy_id, m.memory_id, m.last_sequence
    FROM memlog.archive_policies AS p
    JOIN memlog.memories AS m ON m.uid = p.uid AND m.state = 'active'
        AND m.updated_at <= $2::timestamptz - make_interval(days => p.after_days)
        AND (p.app_id IS NULL OR m.app_id = p.app_id)
        AND (p.category_key IS NULL OR m.category_keys @> ARRAY[p.category_key])
    WHERE p.shard = $1 AND (p.uid, p.policy_id, m.memory_id) > ($3::text, $4::text, $5::text)
    ORDER BY p.uid, p.policy_id, m.memory_id LIMIT $6
"""


async def answer_due(client: Client, pool: Pool) -> None:
    """Answer from now on."""

    async def asked(message: Msg) -> None:
        try:
            reply = await _due(pool, DueRequest.model_validate_json(message.data))
        except ValidationError as error:
            reply = DueReply(code=InvalidInput.code, error=f"{error.error_count()} fields of the request are wrong")
        except MemlogError as error:
            reply = DueReply(code=error.code, error=error.message)
        except Exception as error:  # who asked must be told, whatever it is
            log.exception("due_failed")
            reply = DueReply(code=MemlogError.code, error=type(error).__name__)
        await message.respond(reply.model_dump_json().encode())

    await subscribe(client, DUE, asked, queue="audit")


async def _due(pool: Pool, request: DueRequest) -> DueReply:
    with postgres_errors():
        rows = await pool.fetch(_DUE, request.shard, request.at, *(request.after or ("", "", "")), request.limit)
    return DueReply(
        due=[
            DueMemory(uid=r["uid"], policy_id=r["policy_id"], memory_id=r["memory_id"], sequence=r["last_sequence"])
            for r in rows
        ]
    )

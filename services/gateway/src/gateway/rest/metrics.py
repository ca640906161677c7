"""Metrics for Prometheus: of the services in the gateway's process. Other processes have ports of their own
(MEMLOG_OPS_PORT)."""

import asyncio
from typing import Annotated

from fastapi import Header, Response
from fastapi.responses import PlainTextResponse
from runtime.metrics import exposition

from gateway.rest.common import requires, router
from gateway.service import Scope

routes = router("", "health")


@routes.get("/metrics", dependencies=[requires(Scope.ADMIN, operator=True)], response_class=PlainTextResponse)
async def metrics(accept: Annotated[str | None, Header()] = None) -> Response:
    """Counts and times of this process in the text format of Prometheus (or OpenMetrics, if it is asked for)."""
    body, content_type = await asyncio.to_thread(exposition, accept)  # while it is written, others are served
    return Response(body, media_type=content_type)

"""The services that share the first process of the embedded form. A module of its own, since loading it takes most of a
start: `embedded` does so while the servers start."""

import socket

import audit.container
import categorizer.container
import gateway.container
import memory_writer.container
from runtime.service import Context
from runtime.settings import Settings

from standalone.supervision import Parts, projections_answer


async def serve_together(parts: Parts, settings: Settings, listener: socket.socket) -> None:
    """Start each, in this order; what writes and reads comes after the projections. Raises what keeps one from it."""

    async def serve_gateway(context: Context) -> None:
        await gateway.container.serve(context, listener)

    await parts.serve(audit.container.NAME, settings, audit.container.serve)
    await parts.or_fail(projections_answer(settings))
    await parts.serve(memory_writer.container.NAME, settings, memory_writer.container.serve)
    await parts.serve(categorizer.container.NAME, settings, categorizer.container.serve)
    await parts.serve(gateway.container.NAME, settings, serve_gateway)

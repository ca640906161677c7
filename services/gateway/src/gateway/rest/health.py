"""Whether the process lives, whether it can serve, and what it runs on."""

from typing import Literal

from contracts.api import Health, View
from fastapi import Response

from gateway.errors import NotReady, problem_not_ready, problem_response
from gateway.rest.common import RestDep, requires, router
from gateway.service import Scope

probes = router("", "health")
routes = router("/api/v1/health", "health")


class Alive(View):
    status: Literal["ok"] = "ok"


class Ready(View):
    status: Literal["ready"] = "ready"


@probes.get("/livez")
async def livez() -> Alive:
    """The process answers. It asks no other part: restarting this one would not mend them."""
    return Alive()


@probes.get("/readyz", response_model=Ready)
async def readyz(rest: RestDep) -> Ready | Response:
    """Every part that serving needs is up; else 503 with what is down and why."""
    health = await rest.service.health()
    down = [NotReady(part.service, part.detail or "down") for part in health.services if not part.ok]
    if down or health.status == "unavailable":
        return problem_response(problem_not_ready(down))
    return Ready()


@routes.get("", dependencies=[requires(Scope.ADMIN, operator=True)])
async def health(rest: RestDep) -> Health:
    """The active embedder, LLM and index, positions, and the state of each part."""
    return await rest.service.health()

"""`/api/v1/verification` and `/api/v1/anchors`: proving that nothing was lost or changed, for the operator."""

from contracts.verification import Anchor, AnchorCheck, AnchorReply, Verification
from pydantic import BaseModel, ConfigDict, Field

from gateway.rest.common import RestDep, requires, router
from gateway.service import Scope

routes = router("/api/v1", "verification")


class Verify(BaseModel):
    """What to verify."""

    model_config = ConfigDict(extra="forbid")
    stores: bool = Field(default=True, description="Compare each derived store with a fresh fold of the log, too")


@routes.post(
    "/verification",
    dependencies=[requires(Scope.ADMIN, operator=True)],
    status_code=202,
    response_model_exclude_none=True,
)
async def verify(rest: RestDep, body: Verify | None = None) -> Verification:
    """Verify the log, its audit rows and the derived stores. One verification runs at a time: a second one joins it."""
    return await rest.service.verify(stores=(body or Verify()).stores)


@routes.get("/verification", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True)
async def get_verification(rest: RestDep) -> Verification:
    """How far the verification is, or what the last one found."""
    return await rest.service.verification()


@routes.get("/anchors", dependencies=[requires(Scope.ADMIN, operator=True)])
async def get_anchor(rest: RestDep) -> Anchor:
    """The heads of the audit chains as they are now: kept elsewhere, they show later whether anything was cut off."""
    return await rest.service.anchor()


@routes.post("/anchors/check", dependencies=[requires(Scope.ADMIN, operator=True)], response_model_exclude_none=True)
async def check_anchors(body: AnchorCheck, rest: RestDep) -> AnchorReply:
    """Whether heads that were kept are in the chains; the first that is not."""
    return await rest.service.check_anchors(body.heads)

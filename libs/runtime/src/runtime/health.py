"""Health: each service answers over NATS how it is; nothing is "ok" by silence."""

from collections.abc import Callable, Iterable

from contracts.api import ServiceHealth
from contracts.subjects import health_request_subject
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import JsonValue

from runtime.errors import NATS_FAILURES
from runtime.nats import subscribe
from runtime.probes import Probe
from runtime.projection import ProjectionStatus


def projections_health(
    service: str, statuses: Iterable[ProjectionStatus], facts: dict[str, JsonValue] | None = None
) -> ServiceHealth:
    """Health of a service that runs projections: ok while none that it owns has failed. What is quarantined is said,
    and is no failure: everything else is served."""
    failures: list[str] = []
    quarantined: list[str] = []
    shown = dict(facts or {})
    for status in statuses:
        name = f"{status.name}.{status.shard}"
        shown[f"position.{name}"] = str(status.checkpoint.position) if status.checkpoint else None
        if status.owner:
            shown[f"quarantined.{name}"] = status.quarantined
            if status.quarantined:
                quarantined.append(f"{name}: {status.quarantined} quarantined, see `memlog dead list`")
        if status.failure is not None:
            failures.append(f"{name}: {status.failure}")
    return ServiceHealth(
        service=service, ok=not failures, detail="; ".join(failures + quarantined) or None, facts=shown
    )


async def answer_health(
    client: Client, service: str, describe: Callable[[], ServiceHealth], probe: Probe | None = None
) -> None:
    """Answer health questions from now on, until the connection closes; those of `probe` too."""
    if probe is not None:
        probe.describe = describe

    async def asked(message: Msg) -> None:
        await message.respond(describe().model_dump_json().encode())

    await subscribe(client, health_request_subject(service), asked)


async def ask_health(client: Client, service: str, timeout: float = 1.0) -> ServiceHealth:
    """A service's word about itself; no answer is an answer too."""
    try:
        reply = await client.request(health_request_subject(service), b"", timeout=timeout)
    except NATS_FAILURES as error:
        why = f"{service} does not answer ({type(error).__name__}): start it or look at its log"
        return ServiceHealth(service=service, ok=False, detail=why)
    return ServiceHealth.model_validate_json(reply.data)

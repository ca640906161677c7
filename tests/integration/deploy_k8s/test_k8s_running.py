"""Services started from the command, environment, user and secrets that image and manifest declare work together."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import psutil
import pytest
from support.manifests import SERVICES, named, pod_of
from support.pods import OVERLAY, Pods, running_pods


@pytest.fixture(scope="module")
async def running() -> AsyncGenerator[Pods]:
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="memlog-pods-"))
    try:
        async with running_pods(folder) as here:
            yield here
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_memory_is_added_and_found_through_the_ingress_host(running: Pods) -> None:
    headers = {"Authorization": f"Bearer {running.admin_token}", "Host": "memlog.example.org"}
    async with httpx.AsyncClient(base_url=running.url, headers=headers, timeout=30.0) as http:
        added = await http.post("/api/v1/memories", json={"text": "The lease of the boat ends in May", "infer": False})
        assert added.status_code == 200, added.text
        found = await http.get("/api/v1/search", params={"query": "boat"})
        assert [each["memory"] for each in found.json()["results"]] == ["The lease of the boat ends in May"]
        elsewhere = await http.get("/api/v1/search", params={"query": "boat"}, headers={"Host": "evil.example.com"})
        assert elsewhere.status_code in (403, 421)


@pytest.mark.parametrize("service", SERVICES)
async def test_every_probe_of_its_manifest_is_answered_well(running: Pods, service: str) -> None:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        answer = await running.probed(service, probe)
        assert answer.status_code == 200, (probe, answer.text)


@pytest.mark.parametrize("service", SERVICES)
async def test_it_runs_as_its_manifests_user_if_anybody_can_become_one(running: Pods, service: str) -> None:
    process = psutil.Process(running.processes[service].pid)
    declared = pod_of(named(OVERLAY, "Deployment", service))["securityContext"]
    if psutil.Process().uids().real == 0:
        assert (process.uids().real, process.gids().real) == (declared["runAsUser"], declared["runAsGroup"])


async def test_told_to_stop_all_end_well_within_their_grace_period(running: Pods) -> None:
    assert await asyncio.gather(*(running.terminated(service) for service in SERVICES)) == [0] * len(SERVICES)

"""A real Prometheus (Debian's package): what is exported to it, and what its expressions come to."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.stack import eventually, free_port

ROOT = Path(__file__).parents[2]
OBSERVABILITY = ROOT / "deploy" / "observability"
_UNPACKED = ROOT / ".cache" / "prometheus" / "usr" / "bin"
_READY_S = 60.0


def program(name: str) -> Path:
    """`prometheus` or `promtool`: installed, or as `make test` unpacks it. Without it the test is skipped, saying what
    to do."""
    found = shutil.which(name) or shutil.which(name, path=_UNPACKED)
    if found is None:
        pytest.skip(f"{name} is missing: make test unpacks Debian's package; or apt install prometheus")
    return Path(found)


async def promtool(*arguments: str | Path) -> str:
    """What it says; fails the test when it finds something wrong."""
    process = await asyncio.create_subprocess_exec(
        program("promtool"), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that scrapes."""

    http: httpx.AsyncClient

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector that an expression comes to now; fails the test when it cannot be evaluated."""
        answer = await self.http.get("/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, f"{expression}\n{answer.text}"
        return answer.json()["data"]["result"]

    async def labels(self, metric: str) -> set[str]:
        """The labels of all series of this name; empty when there is none."""
        answer = await self.http.get("/api/v1/series", params={"match[]": f'{{__name__="{metric}"}}'})
        return {label for series in answer.raise_for_status().json()["data"] for label in series}

    async def rules(self) -> dict[str, str]:
        """The health of each alert: `ok` once it was evaluated without an error."""
        groups = (await self.http.get("/api/v1/rules")).raise_for_status().json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}


@asynccontextmanager
async def prometheus(folder: Path, jobs: Mapping[str, int]) -> AsyncGenerator[Prometheus]:
    """With the configuration of deploy/observability, but for where the jobs are (by their ports on this machine), and
    how often it asks them."""
    configuration = yaml.safe_load((OBSERVABILITY / "prometheus.yaml").read_text())
    configuration["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(OBSERVABILITY / name) for name in configuration["rule_files"]]
    scraped = [job for job in configuration["scrape_configs"] if job["job_name"] in jobs]
    for job in scraped:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{jobs[job['job_name']]}"]}]
    assert {job["job_name"] for job in scraped} == set(jobs)
    configuration["scrape_configs"] = scraped
    at = folder / "prometheus.yaml"
    at.write_text(yaml.safe_dump(configuration))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program("prometheus"),
        f"--config.file={at}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:

            async def ready() -> bool:
                assert process.returncode is None, "prometheus ended"
                try:
                    return (await http.get("/-/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(ready, timeout=_READY_S)
            yield Prometheus(http)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()

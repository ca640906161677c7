"""What `memlog` loads before it knows which command is given: a person waits for it each time."""

import subprocess
import sys

import pytest

_HEAVY = {
    "asyncpg",
    "audit",
    "cryptography",
    "fastapi",
    "gateway",
    "httpx",
    "httpx2",
    "indexer",
    "mcp",
    "memory_writer",
    "nats",
    "numpy",
    "openai",
    "opentelemetry",
    "pydantic",
    "pydantic_settings",
    "rich",
    "runtime",
    "structlog",
}
_OF_A_REQUEST = {"httpx2", "pydantic"}
"""What talks to a Memlog, and reads what it answers."""


def _loaded_by(code: str) -> set[str]:
    """The packages in a fresh interpreter after this code."""
    said = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"],
        check=True,
        capture_output=True,
        text=True,
    )
    return set(said.stdout.split())


def test_the_command_line_loads_nothing_that_only_some_commands_need() -> None:
    loaded = _loaded_by("import standalone.cli")

    assert {"standalone", "typer"} <= loaded
    assert not loaded & _HEAVY


@pytest.mark.parametrize(
    "what",
    ["standalone.rest_client", "contracts.api", "contracts.tokens", "contracts.generations", "contracts.dead_letters"],
)
def test_a_command_that_asks_a_running_memlog_loads_what_a_request_needs_and_no_service(what: str) -> None:
    loaded = _loaded_by(f"import standalone.cli, {what}")

    assert not (loaded & _HEAVY) - _OF_A_REQUEST


def test_the_servers_of_memlog_up_are_started_before_its_services_are_loaded() -> None:
    loaded = _loaded_by("import standalone.foreground, standalone.embedded")

    assert not loaded & {"audit", "categorizer", "fastapi", "indexer", "mcp", "memory_writer", "numpy", "uvicorn"}


def test_a_gateway_that_asks_no_issuer_loads_nothing_to_read_its_tokens() -> None:
    assert "jwt" not in _loaded_by("import gateway.container")

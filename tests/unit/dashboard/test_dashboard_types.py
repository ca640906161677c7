"""The dashboard asks the API by types that are made of its OpenAPI document, and are committed."""

import json
import subprocess
from pathlib import Path

import pytest
from gateway.openapi import document
from support.node import NODE

_DASHBOARD = Path(__file__).parents[3] / "services" / "dashboard"
_GENERATOR = _DASHBOARD / "node_modules" / "openapi-typescript" / "bin" / "cli.js"


@pytest.mark.skipif(not _GENERATOR.exists(), reason="the dashboard's packages are not installed: make dashboard")
def test_the_types_of_the_api_are_those_of_the_routes_that_there_are(tmp_path: Path) -> None:
    # As `npm run types` does it, into another file.
    words: list[str] = json.loads((_DASHBOARD / "package.json").read_text())["scripts"]["types"].split()
    options = [word for word in words if word.startswith("--")]
    (tmp_path / "openapi.json").write_text(document())
    command = [NODE, _GENERATOR, tmp_path / "openapi.json", *options, "-o", tmp_path / "schema.d.ts"]
    subprocess.run(command, cwd=_DASHBOARD, check=True, capture_output=True, timeout=120)
    committed = (_DASHBOARD / "src" / "api" / "schema.d.ts").read_text()
    assert (tmp_path / "schema.d.ts").read_text() == committed, (
        "python -m gateway.openapi services/dashboard/openapi.json, then npm run types in services/dashboard"
    )

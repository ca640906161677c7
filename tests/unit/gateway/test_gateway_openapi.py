"""The OpenAPI document: complete, and its examples are what it says."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from gateway.app import GatewayOptions, create_app
from gateway.service import MemoryService
from support.fake_service import FakeService
from support.openapi import misfits

JSON, PROBLEM = "application/json", "application/problem+json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(cast(MemoryService, FakeService()), GatewayOptions(version="1")).openapi()


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Where it is, its media type, and what stands there."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for kind, body in {"request": operation.get("requestBody", {}), **operation["responses"]}.items():
                for media, content in body.get("content", {}).items():
                    yield f"{method} {path} {kind}", media, content


def test_every_json_body_and_every_error_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    for where, media, content in bodies(document):
        if media not in (JSON, PROBLEM):
            continue
        examples = [content["example"]] if media == JSON else [each["value"] for each in content["examples"].values()]
        assert examples, where
        for example in examples:
            wrong = misfits(example, content["schema"], document)
            assert not wrong, (where, wrong)


def test_every_route_says_which_errors_it_answers_with(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not path.startswith("/api/"):
                continue
            assert operation["summary"] and operation["description"], (method, path)
            problems = operation["responses"]["4XX"]["content"]
            assert set(problems) == {PROBLEM}, (method, path)
            codes = set(problems[PROBLEM]["examples"])
            assert "invalid_input" in codes
            assert ("not_found" in codes) == ("{" in path)
            assert ("invalid_json" in codes) == ("requestBody" in operation)
            assert set(operation["responses"]["5XX"]["content"]) == {PROBLEM}

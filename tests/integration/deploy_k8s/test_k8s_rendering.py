"""deploy/k8s renders, to objects that Kubernetes and its operators take."""

import copy
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.expressions import alerts
from support.kustomize import Object, containers, render
from support.manifests import FOLDERS, K8S, made_secrets, named, rendered

SCHEMAS = Path(__file__).parents[2] / "data" / "kubernetes" / "schemas.json"


@cache
def schemas() -> Any:
    return json.loads(SCHEMAS.read_text())


def problems(each: Object) -> list[str]:
    """What its schema says against an object, where each field has to be one that the schema names."""
    kind = f"{each['apiVersion']}/{each['kind']}"
    checking: Any = Draft202012Validator({**schemas()["kinds"][kind], "$defs": schemas()["$defs"]})
    return [
        f"{kind} {each['metadata']['name']} {error.json_path}: {error.message}" for error in checking.iter_errors(each)
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_valid_by_its_published_schema(folder: str) -> None:
    assert [problem for each in rendered(folder) for problem in problems(each)] == []


def test_every_secret_is_valid_by_its_published_schema() -> None:
    assert [problem for each in made_secrets().values() for problem in problems(each)] == []


@pytest.mark.parametrize(
    ("kind", "name", "at"),
    [
        ("Deployment", "gateway", ("spec", "template", "spec")),
        ("Cluster", "postgres", ("spec", "bootstrap", "initdb")),
        ("ScaledObject", "indexer", ("spec",)),
        ("ServiceMonitor", "memlog", ("spec",)),
        ("PrometheusRule", "memlog", ("spec",)),
    ],
)
def test_a_field_that_a_schema_does_not_name_is_a_problem(kind: str, name: str, at: tuple[str, ...]) -> None:
    wrong = copy.deepcopy(named("ha", kind, name))
    inner = wrong
    for step in at:
        inner = inner[step]
    inner["replica"] = 2
    [problem] = problems(wrong)
    assert "'replica' was unexpected" in problem


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_two_objects_have_the_same_name(folder: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(folder)]
    assert len(names) == len({*names})
    assert {each["metadata"].get("namespace") for each in rendered(folder) if each["kind"] != "Namespace"} == {"memlog"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_itself_renders_the_same(folder: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(K8S / folder)], check=True, capture_output=True, text=True, timeout=60
    )
    by_kind = sorted(yaml.safe_load_all(done.stdout), key=lambda each: (each["kind"], each["metadata"]["name"]))
    assert by_kind == rendered(folder)


def test_the_alerts_of_kubernetes_are_those_of_compose() -> None:
    made = subprocess.run([K8S / "rules.sh"], check=True, capture_output=True, text=True, timeout=60).stdout
    assert (K8S / "components" / "monitoring" / "prometheus-rule.yaml").read_text() == made
    assert [rule for group in yaml.safe_load(made)["spec"]["groups"] for rule in group["rules"]] == alerts()


def test_an_overlay_takes_the_other_components_too(tmp_path: Path) -> None:
    """As somebody has it who keeps an overlay of their own beside ours."""
    below = Path(os.path.relpath(K8S, tmp_path))
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "kind": "Kustomization",
                "resources": [str(below / "overlays" / "single")],
                "components": [str(below / "components" / name) for name in ("monitoring", "language-model")],
            }
        )
    )
    objects = render(tmp_path)
    assert [problem for each in objects for problem in problems(each)] == []
    [writer] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Deployment", "memory-writer")]
    told = {variable["name"]: variable["value"] for variable in containers(writer)[0]["env"]}
    assert told["MEMLOG_LLM_API_KEY_FILE"] == "/run/secrets/llm_api_key"

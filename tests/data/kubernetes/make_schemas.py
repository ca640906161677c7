"""Writes schemas.json beside it: the published schemas of the kinds in deploy/k8s, without descriptions and without
what those kinds do not need. Strict: a field that the schema does not name is an error.

    python make_schemas.py FOLDER CRD...

FOLDER: a version of the package kubernetes-validate's schemas (`kubernetes-json-schema/v1.33.0-local-strict`).
CRD: the YAML files of custom resource definitions, from the releases of CloudNativePG, KEDA and Prometheus Operator.
All of them, and Kubernetes, are under the Apache License 2.0.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast

import yaml

KINDS = (
    "apps/v1/Deployment",
    "apps/v1/StatefulSet",
    "batch/v1/Job",
    "networking.k8s.io/v1/Ingress",
    "networking.k8s.io/v1/NetworkPolicy",
    "policy/v1/PodDisruptionBudget",
    "v1/ConfigMap",
    "v1/Namespace",
    "v1/Secret",
    "v1/Service",
    "v1/ServiceAccount",
)
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_NOT_CHECKED = ("description", "default", "format")


def main() -> None:
    folder, *crds = map(Path, sys.argv[1:])
    known = json.loads((folder / "_definitions.json").read_text())["$defs"]
    kinds = {_kind_of(schema): name for name, schema in known.items() if _kind_of(schema) in KINDS}
    roots = {kind: {"$ref": f"#/$defs/{name}"} for kind, name in kinds.items()}
    sources = [f"Kubernetes {folder.name.split('-')[0]}"]
    for crd in crds:
        definition = yaml.safe_load(crd.read_text())
        group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
        for version in definition["spec"]["versions"]:
            if version["storage"]:
                roots[f"{group}/{version['name']}/{kind}"] = _strict(version["schema"]["openAPIV3Schema"])
        release = next((part for part in crd.parts if "@" in part), crd.name)
        sources.append(f"{group} {kind} ({release.rpartition('@')[2]})")
    kept: dict[str, Any] = {}
    _keep(roots, known, kept)
    written = {
        "$comment": f"Made by make_schemas.py from {'; '.join(sources)}. All under the Apache License 2.0.",
        "kinds": dict(sorted(roots.items())),
        "$defs": dict(sorted(kept.items())),
    }
    Path(__file__).with_name("schemas.json").write_text(json.dumps(written, indent=0, sort_keys=True) + "\n")


def _kind_of(schema: dict[str, Any]) -> str:
    kinds: list[dict[str, str]] = schema.get("x-kubernetes-group-version-kind") or [{}]
    return "/".join(filter(None, (kinds[0].get("group"), kinds[0].get("version"), kinds[0].get("kind"))))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A custom resource's schema as a JSON schema that names every field."""
    made: dict[str, Any] = {key: value for key, value in schema.items() if not key.startswith("x-")}
    made.pop("nullable", None)
    properties = {name: _strict(each) for name, each in made.pop("properties", {}).items()}
    if "metadata" in properties and "spec" in properties:  # the resource itself
        properties["metadata"] = {"$ref": f"#/$defs/{_META}"}
        properties.pop("status", None)
    if properties:
        made["properties"] = properties
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _strict(made[key])
    return made


def _keep(schema: Any, known: dict[str, Any], kept: dict[str, Any]) -> None:
    """Keep every definition that a schema refers to, and drop what is not checked, in place."""
    if isinstance(schema, list):
        for each in cast("list[Any]", schema):
            _keep(each, known, kept)
    if not isinstance(schema, dict):
        return
    fields = cast("dict[str, Any]", schema)
    for key in [*fields]:
        if key.startswith("x-") or (key in _NOT_CHECKED and not isinstance(fields[key], dict)):
            del fields[key]
    reference = fields.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name not in kept:
            kept[name] = known[name]
            _keep(kept[name], known, kept)
        fields["$ref"] = f"#/$defs/{name}"
    for value in fields.values():
        _keep(value, known, kept)


if __name__ == "__main__":
    main()

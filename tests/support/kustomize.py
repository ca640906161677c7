"""Renders a kustomization without kustomize: as much of it as deploy/k8s uses, and an error for anything else.

`tests/integration/deploy_k8s/test_rendering.py` compares it with the real one where there is one.
"""

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

Object = dict[str, Any]
_KNOWN = {
    *("apiVersion", "kind", "namespace", "resources", "components", "configMapGenerator", "labels", "patches"),
    *("images", "replicas"),
}
_CLUSTER_WIDE = ("Namespace",)


class _Generated:
    """A ConfigMap that is being put together: its name gets a hash of what it holds at the very end."""

    def __init__(self, name: str, hashed: bool) -> None:
        self.name = name
        self.hashed = hashed
        self.labels: dict[str, str] = {}
        self.namespace: str | None = None
        self.data: dict[str, str] = {}

    def rendered(self) -> Object:
        name = f"{self.name}-{_suffix(self.data)}" if self.hashed else self.name
        metadata: Object = {"name": name}
        if self.labels:
            metadata["labels"] = self.labels
        if self.namespace:
            metadata["namespace"] = self.namespace
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self.data}


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization, as `kubectl kustomize` writes them, sorted by kind and name."""
    objects: list[Object] = []
    generated: dict[str, _Generated] = {}
    _accumulate(folder, objects, generated)
    named = {each.name: each.rendered() for each in generated.values()}
    _rename(objects, {name: made["metadata"]["name"] for name, made in named.items()})
    return sorted([*objects, *named.values()], key=lambda each: (each["kind"], each["metadata"]["name"]))


def _accumulate(folder: Path, objects: list[Object], generated: dict[str, _Generated]) -> None:
    told = _load(folder / "kustomization.yaml")[0]
    unknown = told.keys() - _KNOWN
    assert not unknown, f"{folder}: {sorted(unknown)} is more than this renderer knows"
    # A component works on what its user has gathered; any other folder begins with nothing.
    component = told["kind"] == "Component"
    own = objects if component else []
    made = generated if component else dict[str, _Generated]()
    for resource in told.get("resources", []):
        path = folder / resource
        if path.is_dir():
            _accumulate(path, own, made)
        else:
            # kustomize refuses files outside of the folder, too.
            assert path.resolve().is_relative_to(folder.resolve()), path
            own.extend(_load(path))
    for generator in told.get("configMapGenerator", []):
        _generate(folder, generator, made)
    for component_folder in told.get("components", []):
        _accumulate(folder / component_folder, own, made)
    for patch in told.get("patches", []):
        operations = yaml.safe_load(patch["patch"]) if "patch" in patch else _load(folder / patch["path"])[0]
        _patch(own, patch["target"], cast("list[Object]", operations))
    _transform(told, own, made)
    if not component:
        objects.extend(own)
        generated.update(made)


def _transform(told: Object, objects: list[Object], generated: Mapping[str, _Generated]) -> None:
    for labels in told.get("labels", []):
        for each in objects:
            each["metadata"].setdefault("labels", {}).update(labels["pairs"])
            template = each.get("spec", {}).get("template")
            if template is not None and labels.get("includeTemplates"):
                for inner in (template, *each["spec"].get("volumeClaimTemplates", [])):
                    inner["metadata"].setdefault("labels", {}).update(labels["pairs"])
        for made in generated.values():
            made.labels.update(labels["pairs"])
    for image in told.get("images", []):
        for each in objects:
            for container in containers(each):
                if container["image"] == image["name"]:
                    container["image"] = f"{image['name']}:{image['newTag']}"
    for replicas in told.get("replicas", []):
        for each in objects:
            if each["metadata"]["name"] == replicas["name"] and each["kind"] in ("Deployment", "StatefulSet"):
                each["spec"]["replicas"] = replicas["count"]
    if "namespace" in told:
        for each in objects:
            if each["kind"] not in _CLUSTER_WIDE:
                each["metadata"]["namespace"] = told["namespace"]
        for made in generated.values():
            made.namespace = told["namespace"]


def containers(each: Object) -> list[Object]:
    """Of the pods that an object makes, those that run first among them."""
    pod = each.get("spec", {}).get("template", {}).get("spec", {})
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def _generate(folder: Path, generator: Object, generated: dict[str, _Generated]) -> None:
    name = generator["name"]
    if generator.get("behavior") == "merge":
        made = generated[name]
    else:
        assert name not in generated, name
        made = generated[name] = _Generated(name, not generator.get("options", {}).get("disableNameSuffixHash"))
    for file in generator.get("files", []):
        made.data[file] = (folder / file).read_text()
    for literal in generator.get("literals", []):
        key, _, value = literal.partition("=")
        made.data[key] = value


def _patch(objects: Sequence[Object], target: Mapping[str, str], operations: Sequence[Object]) -> None:
    def meant(each: Object) -> bool:
        return bool(
            re.fullmatch(target.get("kind", ".*"), each["kind"])
            and re.fullmatch(target.get("name", ".*"), each["metadata"]["name"])
        )

    hit = [each for each in objects if meant(each)]
    assert hit, f"a patch for {target} changes nothing"
    for each in hit:
        for operation in operations:
            _apply(each, operation)


def _apply(target: Object, operation: Object) -> None:
    """One operation of a JSON patch (RFC 6902)."""
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
    at: Any = target
    for step in steps:
        at = at[_key(at, step)]
    match operation["op"]:
        case "add" if isinstance(at, list):
            items = cast("list[Any]", at)
            items.insert(len(items) if last == "-" else int(last), copy.deepcopy(operation["value"]))
        case "add":
            at[last] = copy.deepcopy(operation["value"])
        case "replace":
            at[_key(at, last)]  # it has to be there
            at[_key(at, last)] = copy.deepcopy(operation["value"])
        case "remove":
            del at[_key(at, last)]
        case unknown:
            raise AssertionError(f"{unknown} is more than this renderer knows")


def _key(at: Any, step: str) -> int | str:
    return int(step) if isinstance(at, list) else step


def _rename(node: Any, names: Mapping[str, str]) -> None:
    """Wherever a pod refers to a ConfigMap."""
    if isinstance(node, list):
        for each in cast("list[Any]", node):
            _rename(each, names)
    elif isinstance(node, dict):
        for key, value in cast("Object", node).items():
            if key in ("configMap", "configMapRef", "configMapKeyRef") and value.get("name") in names:
                value["name"] = names[value["name"]]
            _rename(value, names)


def _suffix(data: Mapping[str, str]) -> str:
    """kustomize's hash of a ConfigMap (api/hasher/hasher.go): ten digits of what Go's JSON encoder writes."""
    hashed = {"data": data, "kind": "ConfigMap", "name": ""}
    written = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        written = written.replace(character, escape)
    digits = hashlib.sha256(written.encode()).hexdigest()[:10]
    return digits.translate(str.maketrans("013ae", "ghkmt"))


def _load(path: Path) -> list[Object]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each is not None]

"""What deploy/k8s declares, read by tests: its overlays as objects, and the parts of these that rules are about."""

import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from support.image_file import Image, images
from support.kustomize import Object, containers, render

DEPLOY = Path(__file__).parents[2] / "deploy"
K8S = DEPLOY / "k8s"
SERVICES = ("audit", "categorizer", "gateway", "indexer", "memory-writer")
OVERLAYS = ("ha", "single")
FOLDERS = ("overlays/ha", "overlays/single", "rebuild")
_NAME = "app.kubernetes.io/name"


@cache
def rendered(folder: str) -> list[Object]:
    """The objects of a folder below deploy/k8s. Not to be changed."""
    return render(K8S / folder)


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [each for each in rendered(f"overlays/{overlay}") if each["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Object:
    [found] = [each for each in of_kind(overlay, kind) if each["metadata"]["name"] == name]
    return found


def workloads(overlay: str) -> list[Object]:
    return of_kind(overlay, "Deployment", "StatefulSet")


def pod_of(workload: Object) -> Object:
    return workload["spec"]["template"]["spec"]


def pod_labels(overlay: str) -> dict[str, Mapping[str, str]]:
    """The labels of each kind of pod, by its name; CloudNativePG's and a Job's among them."""
    found = {
        each["spec"]["template"]["metadata"]["labels"][_NAME]: each["spec"]["template"]["metadata"]["labels"]
        for each in [*workloads(overlay), *rendered("rebuild")]
    }
    for cluster in of_kind(overlay, "Cluster"):
        name = cluster["metadata"]["name"]
        found[name] = {**cluster["spec"]["inheritedMetadata"]["labels"], "cnpg.io/cluster": name}
    return found


def environment(overlay: str, name: str) -> dict[str, str]:
    """What a service's container is told, from its manifest and the ConfigMap that it refers to."""
    [container] = containers(named(overlay, "Deployment", name))
    told: dict[str, str] = {}
    for source in container["envFrom"]:
        told |= named(overlay, "ConfigMap", source["configMapRef"]["name"])["data"]
    return told | {each["name"]: each["value"] for each in container["env"]}


def secrets_used(each: Object) -> Iterator[tuple[str, str, str | None]]:
    """The secrets that an object's pods are given: name, key, and the file's path in the container, if it is one."""
    pod = each.get("spec", {}).get("template", {}).get("spec", {})
    mounts = {mount["name"]: mount["mountPath"] for of in containers(each) for mount in of.get("volumeMounts", [])}
    for volume in pod.get("volumes", []):
        for source in volume.get("projected", {}).get("sources", []):
            for item in source.get("secret", {}).get("items", []):
                yield source["secret"]["name"], item["key"], f"{mounts[volume['name']]}/{item['path']}"
    for variable in (variable for of in containers(each) for variable in of.get("env", [])):
        reference = variable.get("valueFrom", {}).get("secretKeyRef")
        if reference is not None:
            yield reference["name"], reference["key"], None


@cache
def made_secrets() -> Mapping[str, Object]:
    """What secrets.sh writes, by name."""
    written = subprocess.run([str(K8S / "secrets.sh")], check=True, capture_output=True, text=True, timeout=30).stdout
    return {each["metadata"]["name"]: each for each in yaml.safe_load_all(written)}


@cache
def image_of(service: str) -> Image:
    """What the Dockerfile says of a service's image."""
    return images(DEPLOY / "Dockerfile")[service]


@cache
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())

"""What every pod of deploy/k8s has to be like: locked up, bounded, watched, and from an exact image."""

import re
from typing import Any

import pytest
from support.kustomize import Object, containers
from support.manifests import FOLDERS, OVERLAYS, compose, named, pod_of, rendered, workloads

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def pods() -> list[Any]:
    return [
        pytest.param(each, id=f"{folder}-{each['metadata']['name']}")
        for folder in FOLDERS
        for each in rendered(folder)
        if each["kind"] in ("Deployment", "StatefulSet", "Job")
    ]


def watched() -> list[Any]:
    """A Job ends by itself; the others are asked how they are."""
    return [parameter for parameter in pods() if parameter.values[0]["kind"] != "Job"]


@pytest.mark.parametrize("each", pods())
def test_it_runs_as_nobody_special_and_can_write_to_its_volumes_alone(each: Object) -> None:
    pod = pod_of(each)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 70
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert [container["securityContext"] for container in containers(each)] == [RESTRICTED] * len(containers(each))
    assert pod.keys().isdisjoint({"hostNetwork", "hostPID", "hostIPC"})
    assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]


@pytest.mark.parametrize("each", pods())
def test_it_has_bounds_and_what_it_mounts(each: Object) -> None:
    volumes = {volume["name"]: volume for volume in pod_of(each).get("volumes", [])}
    claims = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
    for container in containers(each):
        assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys() | claims
    assert all("sizeLimit" in volume["emptyDir"] for volume in volumes.values() if "emptyDir" in volume)


@pytest.mark.parametrize("each", watched())
def test_it_is_asked_how_it_is_at_ports_that_it_has(each: Object) -> None:
    [container] = containers(each)
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe].get("httpGet")
        assert asked is None or asked["port"] in ports
        assert asked is not None or container[probe]["exec"]["command"]


@pytest.mark.parametrize("each", watched())
def test_its_copies_are_spread_and_not_all_taken_away_at_once(each: Object) -> None:
    labels = each["spec"]["template"]["metadata"]["labels"]
    name = labels["app.kubernetes.io/name"]
    selector = {"matchLabels": {"app.kubernetes.io/name": name}}
    assert each["spec"]["selector"] == selector
    if name != "postgres":  # of which the overlay single has one, and the other has CloudNativePG's
        spread = {rule["topologyKey"]: rule for rule in pod_of(each)["topologySpreadConstraints"]}
        assert spread.keys() == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        assert all(rule["labelSelector"] == selector for rule in spread.values())
    overlay = next(each_one for each_one in OVERLAYS if any(each is own for own in workloads(each_one)))
    budget = named(overlay, "PodDisruptionBudget", name)["spec"]
    assert budget == {"maxUnavailable": 1, "selector": selector}


@pytest.mark.parametrize("each", [each for each in watched() if each.values[0]["kind"] == "Deployment"])
def test_a_replacement_is_ready_before_an_instance_is_told_to_stop(each: Object) -> None:
    assert each["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    [container] = containers(each)
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    # A service takes 4 s at most to stop, the gateway 2 s more for streams.
    assert pod_of(each)["terminationGracePeriodSeconds"] >= sleep + 10


@pytest.mark.parametrize("folder", FOLDERS)
def test_images_are_those_of_compose_and_exact(folder: str) -> None:
    theirs = {service["image"] for service in compose()["services"].values()}
    for image in {container["image"] for each in rendered(folder) for container in containers(each)}:
        assert image in theirs
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image)


def test_the_namespace_refuses_pods_that_are_not_locked_up() -> None:
    for overlay in OVERLAYS:
        labels = named(overlay, "Namespace", "memlog")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"

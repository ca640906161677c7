"""Who can reach whom, computed from all NetworkPolicies of an overlay, is what the architecture draws, and no more."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import pytest
from support.kustomize import Object
from support.manifests import OVERLAYS, SERVICES, of_kind, pod_labels

Arrow = tuple[str, str, int]
NAMESPACE = "kubernetes.io/metadata.name"
LOG = {(service, "nats", port) for service in SERVICES for port in (4222, 8222)}
"""All that the services tell each other goes over NATS; 8222 is asked whether it syncs always."""
SINGLE: set[Arrow] = {
    *LOG,
    ("namespace ingress-nginx", "gateway", 8765),
    ("tools", "gateway", 8765),
    ("gateway", "postgres", 5432),
    ("audit", "postgres", 5432),
    ("indexer", "qdrant", 6333),
}
ARROWS: Mapping[str, set[Arrow]] = {
    "single": SINGLE,
    "ha": {
        *SINGLE,
        ("nats", "nats", 6222),
        ("qdrant", "qdrant", 6335),
        ("postgres", "postgres", 5432),
        ("postgres", "postgres", 8000),
        ("namespace cnpg-system", "postgres", 5432),
        ("namespace cnpg-system", "postgres", 8000),
        # CloudNativePG keeps its state in the cluster's API, whose address no policy can name.
        ("postgres", "anywhere", 443),
        ("postgres", "anywhere", 6443),
        *(("namespace monitoring", service, 9464) for service in SERVICES),
        *((service, "namespace monitoring", 4318) for service in SERVICES),
    },
}


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    for requirement in selector.get("matchExpressions", []):
        assert requirement["operator"] == "In"
        if labels.get(requirement["key"]) not in requirement["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def reaches(peers: Sequence[Object] | None, other: str, labels: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether one of `peers` is `other`: a kind of pod, a namespace, or anywhere."""
    if peers is None:
        return other == "anywhere"
    for peer in peers:
        match peer:
            case {"podSelector": selector}:
                found = other in labels and selects(selector, labels[other])
            case {"namespaceSelector": selector}:
                found = other == f"namespace {selector['matchLabels'][NAMESPACE]}"
            case _:
                raise AssertionError(f"a peer that this test does not know: {peer}")
        if found:
            return True
    return False


def allowed(
    policies: Iterable[Object], pod: Mapping[str, str], way: str, other: str, port: int, labels: Mapping[str, Any]
) -> bool:
    """Whether a pod may get from, or send to `other` on a port. All is allowed where no policy concerns the pod."""
    peers = {"Ingress": "from", "Egress": "to"}[way]
    mine = [each["spec"] for each in policies if way in each["spec"]["policyTypes"]]
    mine = [spec for spec in mine if selects(spec["podSelector"], pod)]
    return not mine or any(
        port in [allowed_port["port"] for allowed_port in rule["ports"]] and reaches(rule.get(peers), other, labels)
        for spec in mine
        for rule in spec.get(way.lower(), [])
    )


def arrows(overlay: str) -> set[Arrow]:
    """Every way that is open, but that to DNS."""
    policies = of_kind(overlay, "NetworkPolicy")
    rules = [rule for each in policies for way in ("ingress", "egress") for rule in each["spec"].get(way, [])]
    ports = {port["port"] for rule in rules for port in rule["ports"]} - {53}
    labels = pod_labels(overlay)
    peers = [cast("Object", peer) for rule in rules for peer in rule.get("from", rule.get("to", []))]
    outside = {
        f"namespace {peer['namespaceSelector']['matchLabels'][NAMESPACE]}"
        for peer in peers
        if "namespaceSelector" in peer
    } | {"anywhere"}

    def may(way: str, this: str, other: str, port: int) -> bool:
        # What is outside of the namespace has policies of its own.
        return this in outside or allowed(policies, labels[this], way, other, port, labels)

    return {
        (source, target, port)
        for source in labels.keys() | outside
        for target in labels.keys() | outside
        for port in ports
        if not (source in outside and target in outside)
        and may("Egress", source, target, port)
        and may("Ingress", target, source, port)
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_reaches_anybody_but_along_the_arrows_of_the_architecture(overlay: str) -> None:
    assert arrows(overlay) == ARROWS[overlay]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_may_ask_for_names_and_nobody_answers_but_dns(overlay: str) -> None:
    policies, labels = of_kind(overlay, "NetworkPolicy"), pod_labels(overlay)
    for pod in labels.values():
        assert allowed(policies, pod, "Egress", "namespace kube-system", 53, labels)
        assert not allowed(policies, pod, "Ingress", "namespace kube-system", 53, labels)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_arrow_stands_at_both_of_its_ends(overlay: str) -> None:
    """What one end allows and the other one does not would be a mistake of either."""
    open_ways, labels = arrows(overlay), pod_labels(overlay)
    others = {*labels} | {end for source, target, _ in open_ways for end in (source, target)}
    for policy in of_kind(overlay, "NetworkPolicy"):
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, []):
                said = {
                    (other, name, port["port"]) if way == "ingress" else (name, other, port["port"])
                    for name, pod in labels.items()
                    if selects(policy["spec"]["podSelector"], pod)
                    for other in others
                    if reaches(rule.get(peers), other, labels)
                    for port in rule["ports"]
                    if port["port"] != 53
                }
                assert said <= open_ways, policy["metadata"]["name"]
                assert said or {port["port"] for port in rule["ports"]} == {53}

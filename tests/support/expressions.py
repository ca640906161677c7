"""The PromQL and SQL of dashboards and alerts: where it stands, and which metrics and labels it names."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.prometheus import OBSERVABILITY

DASHBOARDS = OBSERVABILITY / "grafana" / "dashboards"
_WORDS = frozenset(
    {"by", "without", "on", "ignoring", "group_left", "group_right", "bool", "and", "or", "unless", "inf"}
)
_VARIABLES = {
    "$__rate_interval": "30s",
    "$__interval": "30s",
    "$__range": "5m",
    "$price_in": "0.15",
    "$price_out": "0.6",
}
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"


@dataclass(frozen=True, slots=True)
class Expression:
    """PromQL, and where it stands."""

    where: str
    text: str

    @property
    def metrics(self) -> dict[str, set[str]]:
        """The metrics that it names, and the labels by which it selects their series."""
        bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", self.text)
        found: dict[str, set[str]] = {}
        for name, selector in re.findall(rf"(?<![\w$])({_NAME})\s*(?!\s*\()(\{{[^}}]*\}})?(?![\w(])", _unquoted(bare)):
            if name not in _WORDS and not re.fullmatch(r"[smhdwy]", name):
                found.setdefault(name, set()).update(re.findall(rf"({_NAME})\s*(?:=~|!~|!=|=)", selector))
        return found

    @property
    def selections(self) -> set[str]:
        """`metric{label="value"}` for each value that it names, also as one of several."""
        found: set[str] = set()
        for name, selector in re.findall(rf"({_NAME})(\{{[^}}]*\}})", self.text):
            for label, how, values in re.findall(rf'({_NAME})(=~|=)"([^"]+)"', selector):
                if how == "=" or re.fullmatch(r"[a-z/|_0-9.-]+", values.replace(".*", "")):
                    found |= {f'{name}{{{label}{how}"{value}"}}' for value in values.split("|")}
        return found

    @property
    def grouped(self) -> set[str]:
        """The labels by which it groups."""
        groups = re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", self.text)
        return {label.strip() for group in groups for label in group.split(",")}


def _unquoted(text: str) -> str:
    return re.sub(r"\[[^\]]*\]", " ", re.sub(r'"[^"]*"', '""', text))


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Those that show something."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def of_dashboards() -> list[Expression]:
    found: list[Expression] = []
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                if "expr" in target:
                    text: str = target["expr"]
                    for variable, value in _VARIABLES.items():
                        text = text.replace(variable, value)
                    found.append(Expression(f"{name}: {panel['title']} {target['refId']}", text))
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OBSERVABILITY / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def of_alerts() -> list[Expression]:
    return [Expression(f"alert {rule['alert']}", rule["expr"]) for rule in alerts()]


def of_autoscaling() -> list[Expression]:
    """What Kubernetes asks. Its own label, of the namespace, is Prometheus' there."""
    path = OBSERVABILITY.parent / "k8s" / "components" / "autoscaling" / "scaled-objects.yaml"
    found: list[Expression] = []
    for each in yaml.safe_load_all(path.read_text()):
        for trigger in each["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                text: str = trigger["metadata"]["query"]
                found.append(
                    Expression(f"autoscaling of {each['metadata']['name']}", text.replace('namespace="memlog", ', ""))
                )
    return found


def statements() -> list[tuple[str, str]]:
    """The SQL of all dashboards: of panels and of variables, with where it stands."""
    found: list[tuple[str, str]] = []
    for name, dashboard in dashboards().items():
        variables = [each for each in dashboard["templating"]["list"] if each["type"] == "query"]
        found += [(f"{name}: ${variable['name']}", variable["query"]) for variable in variables]
        for panel in panels(dashboard):
            asked = [target["rawSql"] for target in panel["targets"] if "rawSql" in target]
            found += [(f"{name}: {panel['title']}", text) for text in asked]
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

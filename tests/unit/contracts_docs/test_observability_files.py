"""Dashboards, alerts and the collector's configuration fit each other, and what they point to is there."""

import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from support.expressions import alerts, anchors, dashboards, of_dashboards, panels
from support.prometheus import OBSERVABILITY, ROOT

PROVISIONING = OBSERVABILITY / "grafana" / "provisioning"
BOARDS = dashboards()


def provisioned() -> dict[str, str]:
    """The type of each data source, by its uid."""
    read = yaml.safe_load((PROVISIONING / "datasources" / "memlog.yaml").read_text())
    return {source["uid"]: source["type"] for source in read["datasources"]}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_where_it_is_told_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"]["summary"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operations.md"
    assert anchor in anchors(ROOT / page)


def test_the_runbook_names_every_alert() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    own = [alert["alert"] for alert in alerts() if "#dead-letters" not in alert["annotations"]["runbook_url"]]
    elsewhere = {"MemlogEmbedderFails"}  # an embedder that is away has a section of its own
    assert [name for name in own if name not in page and name not in elsewhere] == []


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_dashboard_is_whole(name: str) -> None:
    board, sources = BOARDS[name], provisioned()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert board["uid"].startswith("memlog-")
    assert {row["type"] for row in board["panels"]} & {"row"}
    for panel in panels(board):
        assert panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert ("expr" in target) != ("rawSql" in target)
        for described in (panel, *panel["targets"]):
            assert sources[described["datasource"]["uid"]] == described["datasource"]["type"]
        assert [target["refId"] for target in panel["targets"]] == sorted({t["refId"] for t in panel["targets"]})
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            assert sources[variable["datasource"]["uid"]] == variable["datasource"]["type"]


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_panels_lie_beside_each_other(name: str) -> None:
    for one, other in combinations([panel["gridPos"] for panel in BOARDS[name]["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def test_dashboards_are_told_apart_and_found_where_grafana_looks() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS) == 4
    read = yaml.safe_load((PROVISIONING / "dashboards" / "memlog.yaml").read_text())
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    mounted = dict(each.split(":")[:2] for each in compose["services"]["grafana"]["volumes"])
    for provider in read["providers"]:
        assert mounted["./observability/grafana/dashboards"] == provider["options"]["path"]


def test_every_read_links_to_its_trace_in_jaeger() -> None:
    (table,) = [panel for panel in panels(BOARDS["access.json"]) if "the last first" in panel["title"]]
    (override,) = table["fieldConfig"]["overrides"]
    assert override["matcher"]["options"] == "trace"
    ((link,),) = [each["value"] for each in override["properties"] if each["id"] == "links"]
    assert '"uid":"jaeger"' in link["url"]
    assert '"query":"${__value.raw}"' in link["url"]
    assert "jaeger" in provisioned()


def test_no_variable_of_grafana_is_left_in_what_tests_ask() -> None:
    assert [each.where for each in of_dashboards() if "$" in each.text] == []


def test_the_collector_uses_what_it_declares_and_limits_its_memory_first() -> None:
    read = yaml.safe_load((OBSERVABILITY / "collector.yaml").read_text())
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in read["service"]["pipelines"].values():
        for kind, names in used.items():
            names.update(pipeline.get(kind, []))
        assert pipeline["processors"][0] == "memory_limiter"
    assert used == {kind: set(read[kind]) for kind in used}
    assert set(read["service"]["extensions"]) == set(read["extensions"])
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    limit = re.fullmatch(r"(\d+)m", compose["otel-collector"]["mem_limit"])
    assert limit is not None
    assert read["processors"]["memory_limiter"]["limit_mib"] < int(limit[1])


@pytest.mark.parametrize(
    "attribute",
    ["url.full", "url.query", "db.query.text", "gen_ai.input.messages", "exception.message", "enduser.id"],
)
def test_the_collector_drops_what_no_span_may_hold(attribute: str) -> None:
    actions = yaml.safe_load((OBSERVABILITY / "collector.yaml").read_text())["processors"]["attributes/private"][
        "actions"
    ]
    assert all(each["action"] == "delete" for each in actions)
    assert any(
        each.get("key") == attribute or ("pattern" in each and re.fullmatch(each["pattern"], attribute))
        for each in actions
    )

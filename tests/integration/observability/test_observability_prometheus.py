"""Every expression of dashboards, alerts and autoscaling, against the metrics that a running Memlog really exports."""

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.expressions import Expression, of_alerts, of_autoscaling, of_dashboards
from support.prometheus import OBSERVABILITY, ROOT, promtool
from support.watched import SECRET, Watched

EXPRESSIONS = [*of_dashboards(), *of_alerts(), *of_autoscaling()]
_TARGET = {"job", "instance", "__name__"}


def test_dashboards_and_alerts_are_read() -> None:
    assert len(EXPRESSIONS) > 80
    assert all(each.metrics for each in EXPRESSIONS)


async def test_configuration_and_rules_are_valid() -> None:
    assert "SUCCESS" in await promtool("check", "config", OBSERVABILITY / "prometheus.yaml")


async def test_alerts_fire_when_they_should_and_not_before() -> None:
    await promtool("test", "rules", OBSERVABILITY / "alerts_test.yaml")


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda each: each.where)
async def test_an_expression_names_metrics_and_labels_that_there_are(watched: Watched, expression: Expression) -> None:
    await watched.prometheus.query(expression.text)
    known: set[str] = set()
    for metric, selected in expression.metrics.items():
        labels = await watched.prometheus.labels(metric)
        assert labels, f"nothing exports {metric}"
        assert selected <= labels, metric
        known |= labels
    assert expression.grouped <= known | _TARGET


async def test_what_expressions_select_by_is_there(watched: Watched) -> None:
    """But for errors that did not happen, and jobs that are one process here."""
    selections = sorted(
        {
            selection
            for each in EXPRESSIONS
            for selection in each.selections
            if not re.search(r"\{(job|error_type|http_response_status_code)=", selection)
        }
    )
    assert len(selections) > 8
    assert [each for each in selections if not await watched.prometheus.query(each)] == []


async def test_no_alert_fires_while_all_is_well(watched: Watched) -> None:
    rules = await watched.prometheus.rules()
    assert set(rules) == {each.where.removeprefix("alert ") for each in of_alerts()}
    assert await watched.prometheus.query('ALERTS{alertstate="firing"}') == []


async def test_no_metric_holds_what_a_client_chose(watched: Watched) -> None:
    text = await watched.metrics()
    assert "http_server_request_duration_seconds" in text
    assert SECRET not in text.lower()
    assert not re.search(r'"[^"]*\b[0-9a-f]{32}\b', text), "an id"
    assert not re.search(r'"[^"]*[0-9a-f]{8}-[0-9a-f]{4}-', text), "an id"


async def test_the_documentation_lists_what_is_exported(watched: Watched) -> None:
    families = text_string_to_metric_families(await watched.metrics())
    exported = {re.sub(r"_(bucket|sum|count)$", "", s.name) for family in families for s in family.samples}
    own = {name for name in exported if not name.startswith(("process_", "python_"))}
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert sorted(name for name in own if f"`{name}`" not in page) == []


async def test_no_client_makes_more_time_series(watched: Watched) -> None:
    """Whatever it asks for, by whatever method, as whichever user and app."""

    async def series() -> set[tuple[str, frozenset[tuple[str, str]]]]:
        families = text_string_to_metric_families(await watched.metrics())
        samples = [
            sample for family in families for sample in family.samples if family.name.startswith(("http", "mcp"))
        ]
        return {(sample.name, frozenset(sample.labels.items())) for sample in samples}

    async def ask(number: int) -> None:
        name = f"client{number}"
        await http.get(f"/{name}")
        await http.request(f"METHOD{number}", "/api/v1/memories")
        await http.get("/api/v1/memories", params={"user_id": name})
        await http.get(f"/api/v1/memories/{number}")
        await http.post(f"/mcp/{name}/http/{name}", json={"jsonrpc": "2.0", "id": 1, "method": name})
        await http.get("/api/v1/memories", headers={"Origin": f"https://{name}.example"})

    async with watched.stack.http() as http:
        await ask(0)
        before = await series()
        for number in range(1, 20):
            await ask(number)
        assert await series() - before == set()


async def test_the_gateway_tells_the_same_as_its_ops_port(watched: Watched) -> None:
    async with watched.stack.http() as http:
        answer = await http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    async with httpx.AsyncClient() as ops:
        shown = await ops.get(f"http://127.0.0.1:{watched.ports[0]}/metrics")
    names = {family.name for family in text_string_to_metric_families(shown.text)}
    assert {"http_server_request_duration_seconds", "memlog_events_appended", "memlog_consumer_lag"} <= names
    assert answer.text.endswith("# EOF\n")

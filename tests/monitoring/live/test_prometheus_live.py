"""A real Prometheus on a real stack: who is scraped, what alerts say, what dashboards show."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.dashboards import PAGES, expressions, load
from tests.monitoring.prometheus_server import Prometheus
from tests.processes import wait_until
from tickfence.monitoring import dispatcher_metrics, ingest_metrics, node_metrics, recorder_metrics, web_metrics
from tools.local.ports import LOOPBACK
from tools.local.roles import BEATS, INGESTS, NODES, RECORDERS
from tools.local.stack import Stack
from tools.reference import metrics

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROLES = {
    **dict.fromkeys(NODES, node_metrics.registry),
    **dict.fromkeys(BEATS, dispatcher_metrics.registry),
    **dict.fromkeys(INGESTS, ingest_metrics.registry),
    **dict.fromkeys(RECORDERS, recorder_metrics.registry),
    "web": web_metrics.registry,
}


BY_LOAD = {"Backlog", "LowPublishRate", "StaleData", "TicksDropped"}
BY_HASTE = {"RecordingsNotWritten"}  # files are written once a minute, and here a minute of a rule is 6 s


@pytest.fixture(scope="module")
def prometheus(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has scraped everybody, and has been silent since."""
    config = stack.state_dir / "prometheus.yml"
    with Prometheus(config, tmp_path_factory.mktemp("prometheus")) as prometheus:
        prometheus.wait_until_ready()
        wait_until(lambda: prometheus.targets() == dict.fromkeys(ROLES, "up"), "all targets to be up", 20, 0.1)
        wait_until(lambda: prometheus.query("up") and not unexpected(prometheus.firing()), "silence", 20, 0.1)
        yield prometheus


def test_each_process_shows_the_metrics_of_its_role_and_no_others(stack: Stack) -> None:
    for role, registry in ROLES.items():
        with urllib.request.urlopen(f"http://{LOOPBACK}:{stack.ports.metrics[role]}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        shown = {family.name for family in text_string_to_metric_families(text) if family.name.startswith("nt_")}
        assert shown == {family.name for family in metrics.own(registry)}, role
        assert "\nprocess_cpu_seconds_total " in text


def test_nothing_fires_while_all_is_well(prometheus: Prometheus) -> None:
    began = time.monotonic()
    full = "count_over_time(nt_dispatcher_leading[10s]) >= 15"  # longer than it takes for most ranges to be full
    wait_until(lambda: prometheus.query(full), "a history of some seconds", 30, 0.1)
    assert prometheus.query("sum(nt_symbols_assigned)")[0]["value"][1] == "6"
    assert unexpected(prometheus.fired(time.monotonic() - began)) == set()


def test_every_panel_of_every_dashboard_has_data(stack: Stack, prometheus: Prometheus) -> None:
    def values(expression: str) -> list[str]:
        urllib.request.urlopen(f"http://{LOOPBACK}:{stack.ports.web}/v1/symbols", timeout=5).close()  # has work, too
        found = [one["value"][1] for one in prometheus.query(expression)]
        return [value for value in found if value != "NaN"]

    for page in PAGES:
        for title, expression in expressions(load(page), "10s"):
            optional = ("ALERTS", "nt_batch_", "nt_alerts_")
            if title == "Changes of the assignment" or any(word in expression for word in optional):
                prometheus.query(expression)  # empty while nothing happens, and without what is optional
                continue
            wait_until(
                lambda: values(expression),  # noqa: B023
                f"data for {page.stem}, {title}: {expression}",
                20,
                0.1,
            )


def test_a_node_that_is_killed_is_told_of_and_nothing_else_is(stack: Stack, prometheus: Prometheus) -> None:
    wait_until(lambda: not unexpected(prometheus.firing()), lambda: f"silence, not {prometheus.firing()}", 30, 0.1)
    down, began = {("NodeDown", "node-002")}, time.monotonic()
    stack.kill("node-002")
    try:
        wait_until(lambda: down <= prometheus.firing(), "the alert", 20, 0.05)
        wait_until(lambda: prometheus.query("sum(nt_symbols_assigned) == 6"), "the others to have all symbols", 20, 0.1)
        assert prometheus.query('sum(increase(nt_symbol_moves_total{reason="orphan"}[1m])) > 0')
    finally:
        stack.start_role("node-002")
    wait_until(lambda: not unexpected(prometheus.firing()), lambda: f"silence, not {prometheus.firing()}", 30, 0.1)
    assert unexpected(prometheus.fired(time.monotonic() - began)) == down


def unexpected(alerts: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """All but those by which a slow machine shows, or a hasty Prometheus."""
    return {(alert, instance) for alert, instance in alerts if alert not in BY_LOAD | BY_HASTE}

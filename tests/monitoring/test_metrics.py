"""What the metrics are called, what their labels can be, and that the page about them says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.monitoring.promtool import complaints
from tickfence.monitoring import (
    alerts_metrics,
    batch_metrics,
    dispatcher_metrics,
    ingest_metrics,
    node_metrics,
    recorder_metrics,
    web_metrics,
)
from tickfence.recordings.kinds import Kind
from tools.reference import metrics

ROOT = Path(__file__).parents[2]
REGISTRIES = tuple(
    one.registry
    for one in (
        node_metrics,
        dispatcher_metrics,
        ingest_metrics,
        recorder_metrics,
        batch_metrics,
        alerts_metrics,
        web_metrics,
    )
)

ingest_metrics.registry.begin(venue="binance")
node_metrics.registry.begin(section="pressure")

# Who writes which registry.
WRITERS = {
    "tasks": node_metrics,
    "beat_schedule": dispatcher_metrics,
    "ingest": ingest_metrics,
    "tickfence/recorder": recorder_metrics,
}

# Label values that reach a metric as an argument on the way: (folder, function) -> metric.
ON_THE_WAY = {
    ("tasks", "invalidate"): node_metrics.cold_starts,
}


def calls(folder: str) -> Iterator[ast.Call]:
    for path in sorted((ROOT / folder).glob("*.py")):
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def texts(nodes: list[ast.expr]) -> set[str]:
    """The literal texts among expressions, also those that a condition chooses between."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.IfExp):
            found |= texts([node.body, node.orelse])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


def known_values(metric: object) -> set[str]:
    """Label values that have a series."""
    [family] = metric.collect()  # type: ignore[attr-defined]
    return {value for sample in family.samples for label, value in sample.labels.items() if label != "le"}


@pytest.mark.parametrize("folder", WRITERS)
def test_each_label_value_in_the_code_has_a_series_from_the_start(folder: str) -> None:
    checked = 0
    for call in calls(folder):
        function = call.func
        if not (isinstance(function, ast.Attribute) and function.attr == "labels"):
            continue
        assert isinstance(function.value, ast.Attribute)
        if function.value.attr == "rest_requests":
            continue
        if hasattr(batch_metrics, function.value.attr):
            continue  # it gets members of an enum, which mypy checks
        metric = getattr(WRITERS[folder], function.value.attr)
        # So do ingest's and the recorders'.
        by_enum = folder in ("ingest", "tickfence/recorder")
        assert texts(call.args) <= (set() if by_enum else known_values(metric)), ast.unparse(call)
        checked += 1
    assert checked >= 3


def test_so_has_each_that_is_passed_on() -> None:
    for (folder, name), metric in ON_THE_WAY.items():
        found = {
            text
            for call in calls(folder)
            if isinstance(call.func, ast.Attribute) and call.func.attr == name
            for text in texts(call.args)
        }
        assert found, name
        assert found <= known_values(metric), name


def test_so_has_each_reason_for_a_move() -> None:
    tree = ast.parse((ROOT / "tickfence" / "coordination" / "controller.py").read_text())
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    reasons = texts([node.value for node in assigned if ast.unparse(node.targets[0]) == "reason"])
    assert reasons == known_values(dispatcher_metrics.symbol_moves)


@pytest.mark.parametrize("registry", REGISTRIES)
def test_no_series_depends_on_the_symbols(registry: CollectorRegistry) -> None:
    labels = {label for family in metrics.own(registry) for sample in family.samples for label in sample.labels}
    assert labels <= {
        "cycle",
        "ended",
        "entry",
        "kind",
        "le",
        "node",
        "operation",
        "outcome",
        "reason",
        "section",
        "state",
        "status",
        "venue",
        "where",
    }


@pytest.mark.parametrize("registry", REGISTRIES)
def test_promtool_finds_fault_with_the_agreed_milliseconds_alone(registry: CollectorRegistry) -> None:
    in_ms = {family.name for family in metrics.own(registry) if family.name.endswith("_ms")}
    wanted = {f"{name} metric names should not contain abbreviated units" for name in in_ms}
    assert complaints(generate_latest(registry)) == wanted
    assert in_ms <= {
        "nt_data_age_ms",
        "nt_exchange_to_report_ms",
        "nt_calc_latency_ms",
        "nt_web_latency_ms",
        "nt_dispatch_to_written_ms",
        "nt_ingest_append_ms",
        "nt_exchange_clock_skew_ms",
    }


def test_the_promised_names_are_there() -> None:
    names = {metrics.exposed(family) for registry in REGISTRIES for family in metrics.own(registry)}
    assert {
        "nt_node_heartbeat",
        "nt_symbols_assigned",
        "nt_lease_conflicts_total",
        "nt_hrw_rebalances_total",
        "nt_report_publish_total",
        "nt_data_age_ms",
        "nt_calc_latency_ms",
        "nt_ws_resubscribe_total",
    } <= names


def test_the_page_is_what_the_code_says() -> None:
    # In a process of its own: a label value that another test has used would have a series here.
    code = "from tools.reference import metrics; print(metrics.page(), end='')"
    page = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert metrics.PAGE.read_text() == page, "run: make reference"


def test_a_recorder_counts_the_rows_of_every_kind() -> None:
    assert known_values(recorder_metrics.rows) == set(Kind)

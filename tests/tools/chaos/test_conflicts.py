"""Conflicts are counted though processes die and logs are turned over."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

from tasks.symbol_events import Event, Kind
from tasks.symbol_log import SymbolLog
from tickfence.keys import Keys
from tickfence.monitoring import node_metrics
from tools.chaos.campaign import Outcome, judge
from tools.chaos.conflicts import LOGGED, METRIC, Conflicts
from tools.chaos.faults import BY_NAME


class Metrics:
    """What the nodes would answer."""

    def __init__(self) -> None:
        self.values: dict[str, float | None] = {"node-001": 0.0, "node-002": None}

    def __call__(self, node: str, name: str) -> float | None:
        assert name == METRIC
        return self.values[node]


def test_a_metric_counts_though_its_process_was_restarted(tmp_path: Path) -> None:
    metrics = Metrics()
    conflicts = Conflicts(tuple(metrics.values), metrics, tmp_path)
    seen = []
    for one, two in ((0.0, None), (2.0, 1.0), (2.0, None), (1.0, 3.0)):
        metrics.values |= {"node-001": one, "node-002": two}
        seen.append(conflicts.count_new())
    assert seen == [0, 3, 0, 3]


def test_a_log_counts_where_no_metric_does(tmp_path: Path) -> None:
    conflicts = Conflicts(("node-001",), lambda _node, _name: None, tmp_path)
    log = tmp_path / "node-001.log"
    log.write_bytes(b"lease refused: " + LOGGED + b"\nlease taken\nlease refused: " + LOGGED)
    assert conflicts.count_new() == 1  # the last line is not whole yet
    with log.open("ab") as file:
        file.write(b"\n")
    assert conflicts.count_new() == 1
    assert conflicts.count_new() == 0
    log.write_bytes(LOGGED + b"\n")  # turned over
    assert conflicts.count_new() == 1


def test_one_that_shows_in_both_counts_once(tmp_path: Path) -> None:
    (tmp_path / "node-001.log").write_bytes(LOGGED + b"\n")
    assert Conflicts(("node-001",), lambda _node, _name: 1.0, tmp_path).count_new() == 1


def test_a_node_tells_of_a_conflict_in_these_words_and_by_this_metric(caplog: pytest.LogCaptureFixture) -> None:
    before = node_metrics.registry.get_sample_value(METRIC)
    assert before is not None
    with caplog.at_level(logging.ERROR):
        SymbolLog("redis://127.0.0.1:1", Keys(), "node-001")(Event(Kind.LEASE_CONFLICT, "BTCUSDT", "node-002/b"))
    assert LOGGED.decode() in caplog.text
    assert node_metrics.registry.get_sample_value(METRIC) == before + 1


def test_only_conflicts_that_are_part_of_a_fault_are_due() -> None:
    outcome: Outcome = judge([])
    outcome.conflicts = Counter({"start": 0, "node-kill": 1, **{n: 5 for n, k in BY_NAME.items() if k.conflicts}})
    assert outcome.undue_conflicts == 1

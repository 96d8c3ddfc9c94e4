"""What nodes may not do after operators have changed symbols and nodes, and which symbols a campaign waits for."""

from __future__ import annotations

from tools.chaos.faults.operations import moves_of_cordoned, reports_of, writes_of_drained
from tools.chaos.history import Acquisition, Injected, Record, Write

HISTORY: list[Record] = [
    Write(1.0, "BTCUSDT", "node-001/a", 5),
    Write(1.2, "ETHUSDT", "node-002/b", 6),
    Acquisition(2.0, "BTCUSDT", "node-002/b", 7),
    Write(2.1, "BTCUSDT", "node-002/b", 7),
    Injected(1.5, "node-kill", ("BTCUSDT",), 1.5, 2.2),
    Acquisition(3.0, "SOLUSDT", "node-001/a", 8),
    Write(3.1, "SOLUSDT", "node-001/a", 8, report=False),
]


def test_reports_of_symbols_that_are_not_wanted_are_found() -> None:
    assert [str(found) for found in reports_of(HISTORY, ["BTCUSDT", "SOLUSDT"], since=1.1)] == [
        "2.100000 BTCUSDT: report of a removed or paused symbol: by node-002/b",
        "3.100000 SOLUSDT: report of a removed or paused symbol: by node-001/a",
    ]
    assert reports_of(HISTORY, ["BTCUSDT"], since=2.2) == []


def test_writes_of_a_drained_node_are_found() -> None:
    assert [str(found) for found in writes_of_drained(HISTORY, "node-001", since=1.1)] == [
        "3.100000 SOLUSDT: write of a drained node: by node-001/a"
    ]
    assert writes_of_drained(HISTORY, "node-003", since=0.0) == []


def test_a_cordoned_node_neither_gets_nor_loses_symbols() -> None:
    def moved(node: str, *kept: str, since: float = 1.1) -> list[str]:
        return [found.symbol for found in moves_of_cordoned(HISTORY, node, kept, since)]

    assert moved("node-001", "BTCUSDT") == ["BTCUSDT", "SOLUSDT"]  # the one it lost, the one it got
    assert moved("node-001", "ADAUSDT", since=3.1) == []
    assert moved("node-003", "ETHUSDT") == []  # other nodes' symbols may move

"""When a second worker with a node id in use counts as refused, and what a replaced owner may not do."""

from __future__ import annotations

import pytest

from tools.chaos.faults.duplicate_nodes import refusal_flaw, writes_of
from tools.chaos.history import Acquisition, Write

REFUSED = "error: node id 'node-001' is in use by a live worker (pid 7 on h); give this one another queue (-Q)"


def test_a_refusal_has_a_status_and_one_line_that_names_the_node() -> None:
    assert refusal_flaw("node-001", 2, f"starting\n{REFUSED}\n") == ""


@pytest.mark.parametrize(
    ("status", "log", "flaw"),
    [
        (0, REFUSED, "it ended with status 0"),
        (2, "Traceback", "0 lines of its log say"),
        (2, REFUSED.replace("001", "002"), "0 lines of its log say"),
        (2, f"{REFUSED}\n{REFUSED}", "2 lines of its log say"),
    ],
)
def test_what_is_no_clear_refusal(status: int, log: str, flaw: str) -> None:
    assert refusal_flaw("node-001", status, log).startswith(flaw)


def test_writes_of_a_replaced_owner_are_found() -> None:
    history = [
        Write(1.0, "BTCUSDT", "node-001/a", 5),
        Acquisition(2.0, "BTCUSDT", "node-001/b", 6),
        Write(3.0, "BTCUSDT", "node-001/b", 6),
        Write(4.0, "BTCUSDT", "node-001/a", 5),
    ]
    assert [str(found) for found in writes_of(history, "node-001/a", since=2.5)] == [
        "4.000000 BTCUSDT: write of a replaced owner: 5 of node-001/a"
    ]

"""What a node tells about its own work: how far it has come, and what it works on."""

from __future__ import annotations

import pytest
import redis

from tasks.cycles import FAST, Cycle
from tasks.probe import probe
from tasks.reporter import Reporter, Values
from tests.tasks.cycle_runs import MakeNode, S, run
from tests.tasks.market import Market

OTHERS = ("ADAUSDT", "ETHUSDT")


@pytest.mark.usefixtures("market")
def test_each_step_for_a_symbol_is_progress_and_names_the_symbol(node: MakeNode, redis_client: redis.Redis) -> None:
    for symbol in OTHERS:
        Market(redis_client, symbol).open()
    one = node()
    seen: list[tuple[str | int, str | int, str]] = []

    def compute(reporter: Reporter, now_ms: int, now_s: float) -> Values:
        status = one.work.status()
        seen.append((status["progress"], status["working"], reporter.symbol))
        return FAST.compute(reporter, now_ms, now_s)

    run(one, S, *OTHERS, cycle=FAST._replace(compute=compute))
    assert [named for _, named, _ in seen] == [symbol for _, _, symbol in seen] == [S, *OTHERS]
    counts = [count for count, _, _ in seen]
    assert counts == sorted(set(counts))
    assert counts[0] > 2 * len(seen), "what is read of a cold symbol, before any is computed, is progress too"
    assert one.work.status()["working"] == "", "between two cycles it works on none"


@pytest.mark.usefixtures("market")
def test_a_step_that_fails_is_progress_and_over(node: MakeNode) -> None:
    def fails(_reporter: Reporter, _now_ms: int, _now_s: float) -> Values:
        raise ZeroDivisionError

    one = node()
    before = one.work.progress
    run(one, cycle=Cycle("fast", fails, FAST.latency))
    assert one.work.progress > before
    assert one.work.symbol == ""


def test_a_node_that_is_registered_nowhere_takes_a_probe_and_a_drain(node: MakeNode) -> None:
    one = node()
    one.answer("x" * 1000)
    one.drained(True)
    assert one.work.status() == {"progress": 0, "working": "", "probe": "x" * 64, "drained": "1", "shards": "1"}
    assert probe.name == "tasks.probe"
    assert not probe.send_events

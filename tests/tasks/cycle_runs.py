"""Running single cycles of real nodes, and looking at what they left in Redis and in the metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import redis

from tasks import cycles
from tasks.cycles import FAST, run_cycle
from tasks.node import Node
from tasks.warm_symbol import WarmSymbol
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.keys import lease_key, report_key
from tickfence.coordination.owner import Owner
from tickfence.monitoring import node_metrics

S = "BTCUSDT"
PERIOD_MS = 60_000  # so that no tick is late on a slow machine

MakeNode = Callable[..., Node]


def tick(node: Node, generation: int = 1, term: int = 1, age_ms: int = 0) -> Dispatch:
    """A tick for the node, due now or ``age_ms`` ago."""
    owner = node.owner if node.fenced else Owner(ALONE, ALONE)
    return Dispatch(str(owner), generation, term, node.clock.now_ms() - age_ms)


def run(node: Node, *symbols: str, cycle: cycles.Cycle = FAST, **of_tick: int) -> None:
    """One cycle of the node for these symbols."""
    run_cycle(node, cycle, symbols or (S,), tick(node, **of_tick), PERIOD_MS)


def report(client: redis.Redis, symbol: str = S) -> Any:
    """The symbol's report; None while there is none."""
    text = client.get(report_key(symbol))
    return text and json.loads(text)


def lease(client: redis.Redis, symbol: str = S) -> dict[str, str]:
    """The symbol's lease, field by field."""
    return {k.decode(): v.decode() for k, v in client.hgetall(lease_key(symbol)).items()}


class Counted:
    """How much a metric grows."""

    def __init__(self, name: str, **labels: str) -> None:
        self.name, self.labels = name, labels
        self.before = self.value()

    def value(self) -> float:
        return node_metrics.registry.get_sample_value(self.name, self.labels) or 0.0

    def __call__(self) -> float:
        return self.value() - self.before


def observations() -> list[Counted]:
    """How often the time of a report was observed."""
    return [Counted("nt_dispatch_to_written_ms_count", cycle="fast"), Counted("nt_data_age_ms_count")]


def before_write(cycle: cycles.Cycle, happens: Callable[[], object]) -> cycles.Cycle:
    """``cycle``, but something happens between computing and writing."""

    def compute(node: Node, warm: WarmSymbol, now_ms: int) -> cycles.Values:
        values = cycle.compute(node, warm, now_ms)
        happens()
        return values

    return cycle._replace(compute=compute)

"""Running single cycles of real nodes, and looking at what they left in Redis and in the metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import redis

from tasks import cycles
from tasks.cycles import FAST, run_cycle
from tasks.node import Node
from tasks.reporter import Reporter, Values
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.monitoring import node_metrics

S = "BTCUSDT"
KEYS = Keys()
PERIOD_MS = 60_000  # so that no dispatch is late on a slow machine

MakeNode = Callable[..., Node]


def dispatch(node: Node, generation: int = 1, term: int = 1, age_ms: int = 0) -> Dispatch:
    """A dispatch for the node, sent now or ``age_ms`` ago."""
    owner = node.owner if node.fenced else Owner(ALONE, ALONE)
    return Dispatch(str(owner), generation, term, node.clock.now_ms() - age_ms)


def run(node: Node, *symbols: str, cycle: cycles.Cycle = FAST, **of_dispatch: int) -> None:
    """One cycle of the node for these symbols."""
    run_cycle(node, cycle, symbols or (S,), dispatch(node, **of_dispatch), PERIOD_MS)


def report(client: redis.Redis, symbol: str = S) -> Any:
    """The symbol's report; None while there is none."""
    text = client.get(KEYS.report(symbol))
    return text and json.loads(text)


def lease(client: redis.Redis, symbol: str = S) -> dict[str, str]:
    """The symbol's lease, field by field."""
    return {k.decode(): v.decode() for k, v in client.hgetall(KEYS.lease(symbol)).items()}


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

    def compute(reporter: Reporter, now_ms: int, now_s: float) -> Values:
        values = cycle.compute(reporter, now_ms, now_s)
        happens()
        return values

    return cycle._replace(compute=compute)

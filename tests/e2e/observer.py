"""Observes a stack from outside, as its users do: reports in Redis, metrics over HTTP."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import redis
from prometheus_client.parser import text_string_to_metric_families

from tools.local.ports import LOOPBACK
from tools.local.roles import NODES
from tools.local.stack import Stack

Report = dict[str, Any]


def reports(client: redis.Redis, symbols: Iterable[str]) -> dict[str, Report]:
    """The present reports by symbol; a symbol without one is left out."""
    names = list(symbols)
    found = client.mget([f"report:{name}" for name in names])
    return {name: json.loads(text) for name, text in zip(names, found, strict=True) if text is not None}


def writers(found: dict[str, Report]) -> dict[str, str]:
    """Node id by symbol."""
    return {symbol: report["writer"]["nodeId"] for symbol, report in found.items()}


def tokens(found: dict[str, Report]) -> dict[str, int]:
    """Writer token by symbol."""
    return {symbol: report["writer"]["writerToken"] for symbol, report in found.items()}


def metric(port: int, name: str) -> float:
    """A metric of the process that serves ``port``, summed over its labels."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    assert samples, f"no {name} on port {port}"
    return sum(sample.value for sample in samples)


def over_nodes(stack: Stack, name: str, nodes: Iterable[str] = NODES) -> float:
    """A metric, summed over nodes."""
    return sum(metric(stack.ports.metrics[node], name) for node in nodes)


def picture(stack: Stack) -> str:
    """States and last log lines of all roles, and the reports: for the message of a failed test."""
    states = "\n".join(f"{s.name} {s.state} {stack.log(s.name).strip()[-300:]}" for s in stack.states().values())
    with stack.redis_client() as client:
        found = reports(client, stack.settings.symbols)
    ages = {s: (r["writer"]["nodeId"], r["updatedAt"], r["data_age_ms"]) for s, r in found.items()}
    return f"{ages}\n{states}"


@dataclass
class Sequence:
    """The reports of one symbol in the order in which they appeared."""

    times_ms: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    oldest_data_ms: int = 0

    def longest_gap_ms(self) -> int:
        """Longest time between two successive reports."""
        return max((later - before for before, later in zip(self.times_ms, self.times_ms[1:], strict=False)), default=0)


class Watch:
    """Follows the reports within the ``with`` block.

    It reads every 10 ms, so it misses none of four reports a second unless the machine stalls; ``stall_ms`` is the
    longest time between two reads.
    """

    def __init__(self, stack: Stack) -> None:
        self.sequences: dict[str, Sequence] = defaultdict(Sequence)
        self.stall_ms = 0.0
        self._stack = stack
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        with self._stack.redis_client() as client:
            before = time.monotonic()
            while not self._end.wait(0.01):
                for symbol, report in reports(client, self._stack.settings.symbols).items():
                    sequence = self.sequences[symbol]
                    if not sequence.times_ms or report["updatedAt"] != sequence.times_ms[-1]:
                        sequence.times_ms.append(report["updatedAt"])
                        sequence.tokens.append(report["writer"]["writerToken"])
                        sequence.oldest_data_ms = max(sequence.oldest_data_ms, report["data_age_ms"])
                now = time.monotonic()
                self.stall_ms = max(self.stall_ms, (now - before) * 1000)
                before = now

"""Counts leases that were refused as conflicts, by the metrics of the nodes and by their logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

METRIC = "nt_lease_conflicts_total"
LOGGED = b"another owner of this generation holds it"


class Increase:
    """Growth of a counter over restarts of its process: a lower value than before means that it started again at 0."""

    def __init__(self) -> None:
        self._last = 0.0

    def to(self, value: float) -> float:
        """The growth from the last value to this one."""
        grown = value - self._last if value >= self._last else value
        self._last = value
        return grown


class Conflicts:
    """Counts conflicts from one call to the next.

    Metrics end with their process, and logs may be rotated, so the larger of both numbers counts.

    Args:
        nodes: whose metrics to read.
        metric: returns a metric, given the role and its name; ``None`` if the role does not answer.
        logs: folder whose ``*.log`` to read.
    """

    def __init__(self, nodes: Sequence[str], metric: Callable[[str, str], float | None], logs: Path) -> None:
        self._metric, self._logs = metric, logs
        self._counters = {node: Increase() for node in nodes}
        self._read: dict[Path, int] = {}

    def count_new(self) -> int:
        """How many there were since the last call."""
        return max(self._in_metrics(), self._in_logs())

    def _in_metrics(self) -> int:
        grown = 0.0
        for node, counter in self._counters.items():
            value = self._metric(node, METRIC)
            if value is not None:
                grown += counter.to(value)
        return round(grown)

    def _in_logs(self) -> int:
        found = 0
        for path in self._logs.glob("*.log"):
            with path.open("rb") as log:
                size = log.seek(0, 2)
                start = self._read.get(path, 0)
                log.seek(start if start <= size else 0)
                whole = log.tell()
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # not complete yet
                    found += LOGGED in line
                    whole += len(line)
                self._read[path] = whole
        return found

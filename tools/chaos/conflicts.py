"""Leases that were refused as conflicts: from the nodes' metrics and from their logs, whichever shows more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

METRIC = "nt_lease_conflicts_total"
LOGGED = b"another owner of this generation holds it"


class Increase:
    """How much a counter grew, over restarts of the process that keeps it: one that fell began again at 0."""

    def __init__(self) -> None:
        self._last = 0.0

    def seen(self, value: float) -> float:
        """The growth since the value before."""
        grown = value - self._last if value >= self._last else value
        self._last = value
        return grown


class Conflicts:
    """Counts conflicts from one look to the next.

    A metric dies with its process, a log does not; a log may be turned over, a metric is not. So both are asked.

    Parameters:
        nodes: whose metrics to ask for.
        metric: a metric of a role by name, None where the role does not answer.
        logs: folder of the logs; all ``*.log`` in it are read.
    """

    def __init__(self, nodes: Sequence[str], metric: Callable[[str, str], float | None], logs: Path) -> None:
        self._metric, self._logs = metric, logs
        self._counters = {node: Increase() for node in nodes}
        self._read: dict[Path, int] = {}

    def look(self) -> int:
        """How many there were since the last look."""
        return max(self._counted(), self._logged())

    def _counted(self) -> int:
        grown = 0.0
        for node, counter in self._counters.items():
            value = self._metric(node, METRIC)
            if value is not None:
                grown += counter.seen(value)
        return round(grown)

    def _logged(self) -> int:
        found = 0
        for path in self._logs.glob("*.log"):
            with path.open("rb") as log:
                size = log.seek(0, 2)
                start = self._read.get(path, 0)
                log.seek(start if start <= size else 0)
                whole = log.tell()
                for line in log:
                    if not line.endswith(b"\n"):
                        break  # it is still being written
                    found += LOGGED in line
                    whole += len(line)
                self._read[path] = whole
        return found

"""How many reports a second each node writes, from how many were seen."""

from __future__ import annotations

from collections import Counter, deque

WINDOW_S = 5.0


class Rates:
    """Counts over the last ``WINDOW_S``. Times are monotonic seconds.

    A report that was replaced before anybody looked is not seen, so this is a little less than what was written.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Counter[str]]] = deque()

    def add(self, at: float, written: Counter[str]) -> None:
        """Note the new reports of one look, by node."""
        if self._looks and at - self._looks[-1][0] > WINDOW_S:
            self._looks.clear()  # nobody looked for a while
        self._looks.append((at, written))
        while at - self._looks[0][0] > WINDOW_S:
            self._looks.popleft()

    def of(self, node: str) -> float | None:
        """Reports a second of ``node``, one decimal; None until two looks were noted."""
        if len(self._looks) < 2:
            return None
        (first, _), *later = self._looks  # what the first look found new was written before it
        return round(sum(written[node] for _, written in later) / (later[-1][0] - first), 1)

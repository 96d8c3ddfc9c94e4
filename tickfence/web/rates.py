"""How many reports a second are written, from what readings of all reports find. No I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

from tickfence.readers.reports import Head

WINDOW_MS = 1000
_KNOWN_AFTER = 1.8  # periods: by then each symbol was seen twice
_JITTER = 0.15  # periods
_LATE = 1.4  # intervals: a report that is later than that makes its symbol slower


class _Written(NamedTuple):
    at_ms: int
    token: int
    node: str
    reports: int  # since the one before: this one, and those that no reading saw


class Rates:
    """Reports a second over the last second, of each node.

    A rate is counted over the time between two reports of a symbol. So it is exact as soon as two were seen, however the
    readings fall. A report that was replaced before a reading saw it is counted, too: a reading that is late by a
    period cannot have seen all.

    Args:
        period_ms: Time after which a report's successor is due.
    """

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._symbols: dict[str, deque[_Written]] = {}
        self._begun_ms = self._now_ms = 0
        self._found: dict[str, float] | None = None

    def add(self, now_ms: int, new: Mapping[str, Head]) -> None:
        """Add one reading of all reports.

        Args:
            now_ms: When it was made, server ms.
            new: The reports that the reading before did not find.
        """
        before_ms, self._now_ms, self._found = self._now_ms, now_ms, None
        self._begun_ms = self._begun_ms or now_ms
        for symbol, head in new.items():
            written = self._symbols.setdefault(symbol, deque())
            at_ms, token = head.updated_at, head.writer.writer_token
            if written and at_ms <= written[-1].at_ms:  # the server's clock was set back
                written.clear()
            unseen = self._unseen(written[-1], at_ms, before_ms) if written and written[-1].token == token else 0
            written.append(_Written(at_ms, token, head.writer.node_id, 1 + unseen))

    def by_node(self) -> Mapping[str, float] | None:
        """Return the reports a second of each node that wrote one; ``None`` until two reports of each symbol were due."""
        if self._now_ms - self._begun_ms < _KNOWN_AFTER * self._period_ms:
            return None
        if self._found is None:
            self._found = self._count()
        return self._found

    def _unseen(self, last: _Written, at_ms: int, before_ms: int) -> int:
        # The reading before still saw `last`, so what is missing was written after that reading.
        possible = int((at_ms - max(before_ms, last.at_ms)) / self._period_ms + _JITTER)
        return max(0, min(possible, round((at_ms - last.at_ms) / self._period_ms) - 1))

    def _count(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for symbol, written in list(self._symbols.items()):
            while len(written) > 1 and written[1].at_ms <= self._now_ms - WINDOW_MS:
                written.popleft()
            first, last = written[0], written[-1]
            interval_ms = max(self._period_ms, last.at_ms - written[-2].at_ms if len(written) > 1 else 0)
            is_late = self._now_ms - last.at_ms > _LATE * interval_ms
            if is_late and self._now_ms - last.at_ms > WINDOW_MS:
                del self._symbols[symbol]  # it begins again with its next report
                continue
            span_ms = (self._now_ms if is_late else last.at_ms) - first.at_ms
            reports = Counter[str]()
            for each in list(written)[1:]:
                reports[each.node] += each.reports
            for node, number in reports.items():
                found[node] = found.get(node, 0.0) + number * 1000 / span_ms
        return found

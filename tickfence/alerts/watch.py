"""Whether a rule holds for a symbol, for long enough. No I/O.

A rule that cannot be judged fires nothing and ends nothing: rather no alert than a false one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickfence.alerts.rules import Rule

UNSEEN_MS = 5_000
"""A rule that was not seen to hold for this long does not count as having held all the time."""


class Watch:
    """One rule and one symbol while nothing fires.

    Args:
        rule: the rule.

    Example:
        >>> watch = Watch(Rule("spread_bps", ["desk"], above=10, for_s=2))
        >>> [watch.fires({"spread_bps": 12}, at_ms) for at_ms in (1_000, 2_000, 3_000)]
        [None, None, (1000, 12)]
    """

    __slots__ = ("_rule", "_seen_ms", "_since_ms")

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._since_ms: int | None = None
        self._seen_ms = 0

    def fires(self, report: Mapping[str, Any] | None, at_ms: int) -> tuple[int, Any] | None:
        """Look at a report.

        Args:
            report: the report; None where there is none that one may act on.
            at_ms: its `updatedAt`.

        Returns:
            Since when the rule holds, and the first value that meets it; None unless it fires.
        """
        met = self._rule.met_by(report, firing=False) if report is not None else None
        if not met:
            self._since_ms = None
            return None
        if self._since_ms is None or at_ms - self._seen_ms > UNSEEN_MS or at_ms < self._since_ms:
            self._since_ms = at_ms
        self._seen_ms = at_ms
        return (self._since_ms, met[0]) if at_ms - self._since_ms >= self._rule.for_s * 1000 else None

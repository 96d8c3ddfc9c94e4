"""What happens to symbols, for people: metrics, log lines, and refused leases in the timeline."""

from __future__ import annotations

import logging
import time
from logging import DEBUG, ERROR, INFO, WARNING
from typing import Any

from tasks.symbol_events import Event, Kind
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import node_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.timeline.events import Fields, conflict_event, queue_append
from tickfence.timeline.writer import EventWriter

logger = logging.getLogger(__name__)

ERROR_EVERY_S = 60.0
"""How often the same kind of error of one symbol is logged."""


class SymbolLog:
    """Counts and logs the events of a node's symbols.

    Args:
        url: the data plane, where the timeline is.
        keys: of the deployment.
        node: id of this node.
    """

    def __init__(self, url: str, keys: Keys, node: str) -> None:
        self._node = node
        self._conflicts = Conflicts(url, keys, node)
        self._errors = LogLimit(ERROR_EVERY_S)

    def __call__(self, event: Event) -> None:
        """Take one event. Never waits, never raises."""
        if event.kind is Kind.COLD_START:
            metrics.cold_starts.labels(event.detail).inc()
        elif (counter := _COUNTERS.get(event.kind)) is not None:
            counter.inc()
        extra: dict[str, Any] = {"node": self._node, "symbol": event.symbol}
        if event.token:
            extra["token"] = event.token
        if event.kind is Kind.LEASE_CONFLICT:
            extra["holder"] = event.detail
            self._conflicts.tell(event.symbol, event.detail.rpartition("/")[0])
        if event.kind in _RECURRING:
            held_back = self._errors.allows(f"{event.kind.name} {event.symbol}")
            if held_back is None:
                return
            extra["held_back"] = held_back
        logger.log(
            _LEVELS.get(event.kind, INFO), event.kind.value.format(event.detail), extra=extra, exc_info=event.error
        )


_RECURRING = frozenset((Kind.BAD_LEASE, Kind.BAD_ENTRY, Kind.ERROR, Kind.NO_SYMBOL, Kind.NO_ROW, Kind.NO_BASIS))
"""Errors that may come back in every cycle."""

_LEVELS = {
    **dict.fromkeys((Kind.LEASE_CONFLICT, *_RECURRING), ERROR),
    **dict.fromkeys((Kind.GAP, Kind.RENUMBERED, Kind.NOT_TAKEN_OVER), WARNING),
    **dict.fromkeys((Kind.COLD_START, Kind.NO_SNAPSHOT, Kind.CROSSED, Kind.HORIZON, Kind.PAUSE), DEBUG),
}
"""All others: INFO."""

_COUNTERS = {
    Kind.LEASE_STALE: metrics.lease_refused,
    Kind.LEASE_CONFLICT: metrics.lease_conflicts,
    Kind.BAD_LEASE: metrics.reports_withheld.labels("bad lease"),
    Kind.BAD_ENTRY: metrics.reports_withheld.labels("bad entry"),
    Kind.ERROR: metrics.reports_withheld.labels("error"),
    Kind.PAUSE: metrics.reports_withheld.labels("pause"),
    Kind.NO_SYMBOL: metrics.reports_withheld.labels("no symbol"),
    Kind.NO_SNAPSHOT: metrics.reports_withheld.labels("no snapshot"),
    Kind.CROSSED: metrics.reports_withheld.labels("book"),
    Kind.HORIZON: metrics.reports_withheld.labels("horizon"),
    Kind.NO_ROW: metrics.history_missing.labels("row"),
    Kind.NO_BASIS: metrics.history_missing.labels("basis"),
    Kind.FENCED: metrics.writes_fenced,
}


class Conflicts:
    """Writes refused leases into the timeline: few of them, and apart from the cycle that was refused.

    Each symbol at most once in 10 s, and no more than 20 of them: a fault that hits a thousand symbols four times a
    second must not push everything else out of the stream.

    Args:
        url: the data plane.
        keys: of the deployment.
        node: id of this node.
        every_s: seconds between two events of one symbol.
    """

    MAX_SYMBOLS = 20

    def __init__(self, url: str, keys: Keys, node: str, *, every_s: float = 10.0) -> None:
        self._node, self._every_s = node, every_s
        self._told: dict[Instrument, float] = {}
        self._writer: EventWriter[Fields] = EventWriter(
            url,
            f"events:{node}",
            lambda client, fields: queue_append(client, keys, fields),
            metrics.event_errors.inc,
        )

    def tell(self, symbol: Instrument, holder: str) -> None:
        """Note that ``holder`` (a node id) holds the lease of ``symbol``. Never waits, never raises."""
        now = time.monotonic()
        self._told = {name: at for name, at in self._told.items() if now - at < self._every_s}
        if symbol in self._told or len(self._told) >= self.MAX_SYMBOLS:
            return
        self._told[symbol] = now
        self._writer.put(conflict_event(symbol, self._node, holder))

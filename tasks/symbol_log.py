"""What happens to symbols, for people: metrics, log lines, and refused leases in the timeline."""

from __future__ import annotations

import logging
import time
from logging import ERROR, INFO, WARNING
from typing import Any, NamedTuple

from prometheus_client import Counter

from tasks.symbol_events import Event, Kind
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import node_metrics as metrics
from tickfence.timeline.events import Fields, conflict_event, queue_append
from tickfence.timeline.writer import EventWriter

logger = logging.getLogger(__name__)


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

    def __call__(self, event: Event) -> None:
        """Take one event. Never waits, never raises."""
        told = _TOLD[event.kind]
        if told.counter is not None:
            told.counter.inc()
        elif event.kind is Kind.COLD_START:
            metrics.cold_starts.labels(event.detail).inc()
        if not told.text:
            return
        extra: dict[str, Any] = {"node": self._node, "symbol": event.symbol}
        if event.token:
            extra["token"] = event.token
        if event.kind is Kind.LEASE_CONFLICT:
            extra["holder"] = event.detail
            self._conflicts.tell(event.symbol, event.detail.rpartition("/")[0])
        logger.log(told.level, told.text.format(event.detail), extra=extra)


class _Told(NamedTuple):
    text: str = ""
    level: int = INFO
    counter: Counter | None = None


def _withheld(reason: str) -> Counter:
    return metrics.reports_withheld.labels(reason)


_TOLD = {
    Kind.LEASE_TAKEN: _Told("lease taken"),
    Kind.LEASE_STALE: _Told("lease refused: this message is of an older assignment", counter=metrics.lease_refused),
    Kind.LEASE_CONFLICT: _Told(
        "lease refused: another owner of this generation holds it", ERROR, metrics.lease_conflicts
    ),
    Kind.BAD_LEASE: _Told("the lease cannot be acquired: {}", ERROR, _withheld("bad lease")),
    Kind.BAD_ENTRY: _Told("unreadable market data: {}", ERROR, _withheld("bad entry")),
    Kind.COLD_START: _Told(),
    Kind.GAP: _Told("the book must be loaded again: {}", WARNING),
    Kind.RENUMBERED: _Told("the exchange has started its update ids again", WARNING),
    Kind.NOT_TAKEN_OVER: _Told("cannot use what the last owner left: {}", WARNING),
    Kind.NO_SNAPSHOT: _Told(counter=_withheld("no snapshot")),
    Kind.CROSSED: _Told(counter=_withheld("book")),
    Kind.FENCED: _Told("write refused by the fence", counter=metrics.writes_fenced),
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

"""Refused leases, told to people: few of them, and apart from the cycle that was refused."""

from __future__ import annotations

import time

from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import node_metrics as metrics
from tickfence.timeline.events import Fields, conflict_event, queue_append
from tickfence.timeline.writer import EventWriter

EVERY_S = 10.0
MOST = 20


class ConflictEvents:
    """Tells of leases that this node was refused since another owner of the same generation holds them.

    At most once a symbol, and of 20 symbols, in 10 s: a fault that befalls a thousand symbols four times a second must
    not push everything else out of the stream.

    Parameters:
        url: the data plane.
        keys: the deployment's keys.
        node: this one's id.
    """

    def __init__(self, url: str, keys: Keys, node: str) -> None:
        self._node = node
        self._told: dict[Instrument, float] = {}
        self._writer: EventWriter[Fields] = EventWriter(
            url,
            f"events:{node}",
            lambda client, fields: queue_append(client, keys, fields),
            metrics.event_errors.inc,
        )

    def tell(self, symbol: Instrument, holder: str) -> None:
        """Tell that ``holder`` (a node id) has the lease of ``symbol``. Never waits, never raises."""
        now = time.monotonic()
        self._told = {name: at for name, at in self._told.items() if now - at < EVERY_S}
        if symbol in self._told or len(self._told) >= MOST:
            return
        self._told[symbol] = now
        self._writer.put(conflict_event(symbol, self._node, holder))

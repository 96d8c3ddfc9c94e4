"""Order books whose snapshots come by stream: lost ones are subscribed to again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ingest.rest import Priority
from tickfence.instrument import Instrument
from tickfence.redis_access.outage import Backoff

FIRST_RETRY_S, MAXIMUM_RETRY_S = 0.5, 60.0
PATIENCE_S = 5.0
"""How long a subscription may take to bring its snapshot."""
STABLE_S = 10.0
"""After a book was in sync for so long, the next try is made at once again."""


class Renewals:
    """When to subscribe again to each order book that is lost: at once, and then with growing pauses.

    So a book whose proof fails again and again costs its connection a few messages a minute, and the other books nothing.

    Args:
        renew: subscribes to the symbol's order book again.
        clock: seconds that never go back.
    """

    def __init__(self, renew: Callable[[Instrument], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._renew = renew
        self._clock = clock
        self._due: dict[Instrument, float] = {}
        self._got: dict[Instrument, float] = {}
        self._backoffs: dict[Instrument, Backoff] = {}

    def want(self, symbol: Instrument, priority: Priority) -> None:
        """Have the symbol's book sent again. At the start its first subscription is on its way, so it has time."""
        if symbol not in self._due:
            wait_s = PATIENCE_S if priority is Priority.START else self._pause_s(symbol)
            self._due[symbol] = self._clock() + wait_s

    def got(self, symbol: Instrument) -> None:
        """Note that the book is in sync."""
        self._due.pop(symbol, None)
        self._got[symbol] = self._clock()

    def forget(self, symbol: Instrument) -> None:
        """Forget a symbol that is not followed any more."""
        for known in (self._due, self._got, self._backoffs):
            known.pop(symbol, None)

    def run_due(self) -> None:
        """Subscribe to what is due now; call it many times a second."""
        now = self._clock()
        for symbol in [symbol for symbol, at in self._due.items() if at <= now]:
            self._due[symbol] = now + max(PATIENCE_S, self._backoff(symbol).next_s())
            self._renew(symbol)

    def _pause_s(self, symbol: Instrument) -> float:
        if self._clock() >= self._got.get(symbol, -math.inf) + STABLE_S:
            self._backoffs.pop(symbol, None)
        return self._backoff(symbol).next_s() if symbol in self._backoffs else 0.0

    def _backoff(self, symbol: Instrument) -> Backoff:
        return self._backoffs.setdefault(symbol, Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S))

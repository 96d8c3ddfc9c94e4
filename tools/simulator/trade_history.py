"""The newest trades of one symbol, which REST clients may ask for by id."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from tools.simulator.market import Trade

KEPT = 5_000
_COLUMNS = 5


class TradeHistory:
    """At least the last `KEPT` trades of a market, whose ids are consecutive; 40 bytes a trade."""

    def __init__(self) -> None:
        self._rows = array("q")

    def add(self, time_ms: int, trade: Trade) -> None:
        """Adds the market's next trade."""
        self._rows.extend((time_ms, *trade))
        if len(self._rows) >= 2 * KEPT * _COLUMNS:
            del self._rows[: KEPT * _COLUMNS]

    def find(self, from_id: int | None, limit: int) -> Iterator[tuple[int, Trade]]:
        """The first `limit` trades from an id on, or the newest ones; each with its time (ms), oldest first."""
        rows = self._rows
        count = len(rows) // _COLUMNS
        first = count - limit if from_id is None or not count else from_id - rows[1]
        for start in range(max(first, 0) * _COLUMNS, min(max(first, 0) + limit, count) * _COLUMNS, _COLUMNS):
            time_ms, trade_id, price, quantity, buyer_is_maker = rows[start : start + _COLUMNS]
            yield time_ms, Trade(trade_id, price, quantity, bool(buyer_is_maker))

"""One instrument of the random market, as OKX shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any

from tools.simulator.hub import Hub
from tools.simulator.market import Activity, Market, Trade
from tools.simulator.okx import PREFIX, wire
from tools.simulator.okx.source import channel
from tools.simulator.symbols import Instrument

_MATCHES_KEPT = 5_000
_MAX_MATCHES = 3
_TICKER_EVERY = 10
_FIRST_AGAIN = 3
"""The sequence id after a restart of the ids."""


class Listed:
    """An instrument's market, what was told of it, and its channels.

    An update tells how the best 400 levels have changed since the last one, those that left them or came in included. So
    what subscribers know is always the state at the last update, and a new subscription begins with that.
    """

    def __init__(
        self, instrument: Instrument, seed: int, activity: Activity, first_id: int, hub: Hub, *, checksums: bool
    ) -> None:
        self.name = instrument.symbol.removeprefix(PREFIX)
        self.market = Market(instrument, seed, activity, first_id)
        self.diffs = hub.channel(channel(wire.BOOKS, self.name))
        self.trades = hub.channel(channel(wire.TRADES, self.name))
        self.ticker = hub.channel(channel(wire.TICKERS, self.name))
        self._checksums = checksums
        self._matches: deque[tuple[int, int, str, str, str]] = deque(maxlen=_MATCHES_KEPT)
        self._match_id = self.market.trade_id
        self._seq_id = self._told_at = self.market.update_id
        self._restart = False
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def step(self, now_ms: int) -> None:
        """Moves the market one step and publishes its trades."""
        for fill in self.market.step():
            payload = self.trade_message(now_ms, fill)
            if self.trades.subscribers:
                self.trades.publish(payload)

    def publish_diffs(self, now_ms: int, cycle: int) -> None:
        """Publishes how the book has changed since the last call; every tenth call also the ticker."""
        if not self.diffs.subscribers:
            self.market.take_diff()
        elif (update := self.book_message(now_ms)) is not None:
            self.diffs.publish(update)
        if cycle % _TICKER_EVERY == 0 and self.ticker.subscribers:
            self.ticker.publish(self.ticker_message(now_ms))

    def trade_message(self, now_ms: int, fill: Trade) -> bytes:
        """A message of `trades`; its matches can be asked for from now on."""
        count = min(1 + fill.trade_id % _MAX_MATCHES, fill.quantity)
        each, rest = divmod(fill.quantity, count)
        price, side = self._price(fill.price), "sell" if fill.buyer_is_maker else "buy"
        for number in range(count):
            self._match_id += 1
            size = self._size(each + (rest if number == 0 else 0))
            self._matches.append((now_ms, self._match_id, price, size, side))
        size = self._size(fill.quantity)
        return wire.trade(self.name, now_ms, self._match_id, price, size, side, count, self._seq_id)

    def book_message(self, now_ms: int) -> bytes | None:
        """A message of `books` with what has changed; None if nothing has."""
        self.market.take_diff()
        bids, asks = self._best()
        changes = _changes(self._bids, bids), _changes(self._asks, asks)
        if not any(changes):
            return None
        previous = self._seq_id
        self._seq_id = _FIRST_AGAIN if self._restart else previous + max(1, self.market.update_id - self._told_at)
        self._restart = False
        self._bids, self._asks, self._told_at = bids, asks, self.market.update_id
        return self._book("update", *changes, previous=previous, time_ms=now_ms)

    def snapshot(self) -> bytes:
        """As Source.snapshot()."""
        if not self.diffs.subscribers or not self._bids:
            self._seq_id += max(1, self.market.update_id - self._told_at)
            self._told_at = self.market.update_id
            self._bids, self._asks = self._best()
        return self._book("snapshot", self._bids, self._asks, previous=-1, time_ms=_now_ms())

    def heartbeat(self) -> bytes:
        """As Source.heartbeat()."""
        return self._book("update", {}, {}, previous=self._seq_id, time_ms=_now_ms())

    def restart_ids(self) -> None:
        """As Source.restart_ids()."""
        self._restart = True

    def spend_seq_id(self) -> tuple[int, int]:
        """Counts a sequence id as used, so that the next update connects to a malformed one: that before it, and the id."""
        self._seq_id += 1
        return self._seq_id - 1, self._seq_id

    def quote(self) -> tuple[str, str, str]:
        """The best bid, the best ask and a usual quantity, for malformed messages."""
        market = self.market
        return (
            self._price(market.bids.best),
            self._price(market.asks.best),
            self._size(market.instrument.level_steps),
        )

    def ticker_message(self, now_ms: int) -> bytes:
        """A message of `tickers`: statistics since a simulated opening, shown as the last 24 hours."""
        market = self.market
        bid, ask = market.bids.best, market.asks.best
        data = {
            "instType": "SPOT",
            "instId": self.name,
            "last": self._price(market.last_price),
            "lastSz": self._size(market.last_quantity),
            "askPx": self._price(ask),
            "askSz": self._size(market.asks.quantity(ask)),
            "bidPx": self._price(bid),
            "bidSz": self._size(market.bids.quantity(bid)),
            "open24h": self._price(market.open),
            "high24h": self._price(market.high),
            "low24h": self._price(market.low),
            "vol24h": self._size(market.volume),
            "ts": str(now_ms),
        }
        return wire.encode({"arg": {"channel": wire.TICKERS, "instId": self.name}, "data": [data]})

    def rules(self) -> dict[str, Any]:
        """As Source.rules()."""
        one = self.market.instrument
        return {
            "instType": "SPOT",
            "instId": self.name,
            "baseCcy": one.base,
            "quoteCcy": one.quote,
            "settleCcy": "",
            "ctVal": "",
            "ctValCcy": "",
            "tickSz": self._price(1),
            "lotSz": self._size(1),
            "minSz": self._size(1),
            "state": "live",
        }

    def past_trades(self, before_id: int | None, limit: int) -> list[dict[str, Any]]:
        """As Source.past_trades()."""
        newest_first = reversed(self._matches)
        found = (one for one in newest_first if before_id is None or one[1] < before_id)
        return [wire.rest_trade(self.name, *one) for one in islice(found, limit)]

    def _best(self) -> tuple[dict[int, int], dict[int, int]]:
        return dict(self.market.bids.levels(wire.BOOK_LEVELS)), dict(self.market.asks.levels(wire.BOOK_LEVELS))

    def _book(self, action: str, bids: wire.Levels, asks: wire.Levels, *, previous: int, time_ms: int) -> bytes:
        best_bids = self._texts(islice(self._bids.items(), wire.CHECKED_LEVELS))
        best_asks = self._texts(islice(self._asks.items(), wire.CHECKED_LEVELS))
        return wire.book(
            self.name,
            action,
            self._texts(sorted(bids.items(), reverse=True)),
            self._texts(sorted(asks.items())),
            time_ms=time_ms,
            previous=previous,
            seq_id=self._seq_id,
            crc=wire.checksum(best_bids, best_asks) if self._checksums else 0,
        )

    def _texts(self, levels: Iterable[tuple[int, int]]) -> list[wire.Text]:
        return [(self._price(price), self._size(quantity)) for price, quantity in levels]

    def _price(self, ticks: int) -> str:
        return wire.decimal(ticks, self.market.instrument.tick_decimals)

    def _size(self, steps: int) -> str:
        return wire.decimal(steps, self.market.instrument.step_decimals)


def _changes(before: wire.Levels, now: wire.Levels) -> dict[int, int]:
    """The levels that differ, with their new quantities; 0 for those that are gone."""
    changed = {price: quantity for price, quantity in now.items() if before.get(price) != quantity}
    return changed | dict.fromkeys(before.keys() - now.keys(), 0)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

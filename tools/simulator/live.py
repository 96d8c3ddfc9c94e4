"""The random market in real time: steps every symbol's market and publishes what changed.

The symbols are spread over 10 slots of 10 ms each. In each slot one group of symbols publishes its diffs, and two groups
step: a market moves twice between two diffs, so that a REST snapshot can lie in the middle of a diff, as it does at the
exchange.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tools.simulator import protocol
from tools.simulator.hub import Hub
from tools.simulator.market import Activity, Diff, Market, Trade
from tools.simulator.okx import PREFIX as OKX
from tools.simulator.okx.listed import Listed as OkxListed
from tools.simulator.symbols import Instrument
from tools.simulator.trade_history import TradeHistory

SLOTS = 10
SLOT_SECONDS = 0.01
# A market that starts a second later has higher ids, even at 10,000 changes per second: a restarted exchange does not
# start its numbering again.
_IDS_PER_SECOND = 10_000
_DIFFS_PER_SLOW_DIFF = 10
_FALL_BEHIND_SECONDS = 0.5


class _Listed:
    """One symbol: its market, its encoder and its channels."""

    def __init__(self, instrument: Instrument, seed: int, activity: Activity, first_id: int, hub: Hub) -> None:
        self.market = Market(instrument, seed, activity, first_id)
        self.encode = protocol.Encoder(instrument)
        self.history = TradeHistory()
        name = instrument.symbol.lower()
        self.trades = hub.channel(f"{name}@trade")
        self.aggregate_trades = hub.channel(f"{name}@aggTrade")
        self.diffs = hub.channel(f"{name}@depth@100ms")
        self.slow_diffs = hub.channel(f"{name}@depth")
        self.ticker = hub.channel(f"{name}@ticker")
        self.book_ticker = hub.channel(f"{name}@bookTicker")
        self._slow: Diff | None = None
        self._quoted: tuple[int, int, int, int] | None = None

    def step(self, now_ms: int) -> None:
        """Moves the market one step and publishes its trades, and its best prices if they changed."""
        market = self.market
        for trade in market.step():
            self.history.add(now_ms, trade)
            if self.trades.subscribers:
                self.trades.publish(self.trade_message(now_ms, trade))
            if self.aggregate_trades.subscribers:
                self.aggregate_trades.publish(self.encode.aggregate_trade(now_ms, trade))
        if self.book_ticker.subscribers:
            bids, asks = market.bids, market.asks
            quoted = (bids.best, bids.quantity(bids.best), asks.best, asks.quantity(asks.best))
            if quoted != self._quoted:
                self._quoted = quoted
                self.book_ticker.publish(self.encode.book_ticker(market))

    def publish_diffs(self, now_ms: int, cycle: int) -> None:
        """Publishes the book's changes since the last call; every tenth call also the slow diff and the ticker."""
        diff = self.market.take_diff()
        if diff and self.diffs.subscribers:
            self.diffs.publish(self.encode.depth_update(now_ms, diff))
        if diff and self.slow_diffs.subscribers:
            before = self._slow
            self._slow = (
                Diff(before.first, diff.last, before.bids | diff.bids, before.asks | diff.asks) if before else diff
            )
        if cycle % _DIFFS_PER_SLOW_DIFF == 0:
            if self._slow:
                self.slow_diffs.publish(self.encode.depth_update(now_ms, self._slow))
                self._slow = None
            if self.ticker.subscribers:
                self.ticker.publish(self.ticker_message(now_ms))

    def trade_message(self, now_ms: int, trade: Trade) -> bytes:
        """The event of a trade."""
        return self.encode.trade(now_ms, trade)

    def book_message(self, now_ms: int) -> bytes | None:
        """The event of the book's changes since the last call; None if there are none."""
        diff = self.market.take_diff()
        return self.encode.depth_update(now_ms, diff) if diff else None

    def ticker_message(self, now_ms: int) -> bytes:
        """The event of the statistics."""
        return self.encode.ticker(now_ms, self.market)


class LiveFeed:
    """The markets of all listed symbols, in real time. A name like `okx:BTC-USDT` is listed at OKX."""

    def __init__(
        self, instruments: Sequence[Instrument], seed: int, activity: Activity, hub: Hub, *, checksums: bool = True
    ) -> None:
        self._hub = hub
        first_id = int(time.time()) * _IDS_PER_SECOND
        of_okx = [one for one in instruments if one.symbol.startswith(OKX)]
        self._okx = {one.symbol: OkxListed(one, seed, activity, first_id, hub, checksums=checksums) for one in of_okx}
        self._listed = {
            one.symbol: _Listed(one, seed, activity, first_id, hub) for one in instruments if one not in of_okx
        }
        self.symbols: Collection[str] = self._listed.keys()
        self.okx: Mapping[str, OkxListed] = {one.name: one for one in self._okx.values()}
        listed: list[_Listed | OkxListed] = [*self._listed.values(), *self._okx.values()]
        self._groups = [listed[slot::SLOTS] for slot in range(SLOTS)]
        self._slots_done = 0
        self._slots_skipped = 0
        self._resume_at = 0.0
        self._last_ms = 0

    async def run(self) -> None:
        """Runs the slots at a fixed rate; after falling behind by half a second, it skips to now."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += SLOT_SECONDS
            delay = due - loop.time()
            if delay < -_FALL_BEHIND_SECONDS:
                self._slots_skipped += round(-delay / SLOT_SECONDS)
                due = loop.time()
            await asyncio.sleep(max(0.0, delay))
            if loop.time() >= self._resume_at:
                self._run_slot()

    async def depth(self, symbol: str, limit: int) -> bytes:
        """As Feed.depth()."""
        listed = self._listed[symbol]
        return listed.encode.depth(listed.market, limit)

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:
        """As Feed.exchange_info()."""
        return [self._listed[symbol].encode.exchange_info() for symbol in symbols]

    def trades(self, symbol: str, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """As Feed.trades()."""
        listed = self._listed[symbol]
        return [listed.encode.rest_trade(*one) for one in listed.history.find(from_id, limit)]

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:
        """As Feed.ticker_24hr()."""
        listed = self._listed[symbol]
        return listed.encode.ticker_24hr(self._now_ms(), listed.market)

    def pause(self, seconds: float) -> None:
        """As Feed.pause()."""
        self._resume_at = asyncio.get_running_loop().time() + seconds

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """As Feed.quote()."""
        listed = self._listed[symbol]
        market, encode = listed.market, listed.encode
        return (
            market.next_first_id,
            encode.price(market.bids.best),
            encode.price(market.asks.best),
            encode.quantity(market.instrument.level_steps),
        )

    def spend_update_id(self, symbol: str) -> None:
        """As Feed.spend_update_id()."""
        self._listed[symbol].market.spend_update_id()

    def market(self, symbol: str) -> Market:
        """As Feed.market()."""
        return (self._okx.get(symbol) or self._listed[symbol]).market

    def state(self) -> dict[str, Any]:
        """As Feed.state()."""
        return {"source": "live", "slots": self._slots_done, "slotsSkipped": self._slots_skipped}

    def _run_slot(self) -> None:
        cycle, slot = divmod(self._slots_done, SLOTS)
        now_ms = self._now_ms()
        publishing = self._groups[slot]
        for listed in publishing:
            listed.step(now_ms)
            listed.publish_diffs(now_ms, cycle)
        for listed in self._groups[(slot + SLOTS // 2) % SLOTS]:
            listed.step(now_ms)
        self._hub.flush()
        self._slots_done += 1

    def _now_ms(self) -> int:
        # Event times never fall, even if the wall clock is set back.
        self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        return self._last_ms

"""The simulator's third dialect: the random market of some instruments as Kraken's WebSocket v2 shows it, on the same port.

Books have a checksum and no numbers. The path is `/kraken/v2`; the faults of tools.simulator.captured.server are at
`/kraken/simulator/faults/<name>`, with symbols like `BTC/USDT`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count

from tools.simulator.captured import kraken_wire as wire
from tools.simulator.captured.dialect import Levels, Recorded
from tools.simulator.captured.kraken import KrakenDialect
from tools.simulator.market import Activity, Market, Trade
from tools.simulator.symbols import Instrument

PREFIX = "kraken:"
"""Begins the simulator's own name of an instrument, as `--symbols` has it."""
PATH = "/kraken"

_CHECKED_LEVELS = 10
_STEPS_PER_BOOK, _STEPS_PER_TICKER = 2, 20


def live(instruments: Sequence[Instrument], seed: int, activity: Activity) -> KrakenDialect:
    """What is served of the markets of some instruments, which have the prefix in their names."""
    decimals = {one.symbol.removeprefix(PREFIX): (one.tick_decimals, one.step_decimals) for one in instruments}
    listed = [_Listed(one, seed, activity) for one in instruments]
    return KrakenDialect(_Endless(listed, 1 / activity.steps_per_second), decimals.keys(), decimals)


class _Endless:
    """The messages of all markets: each book, and then what happens, at the times at which it does."""

    def __init__(self, listed: Sequence[_Listed], step_s: float) -> None:
        self._listed, self._step_s = listed, step_s

    def __iter__(self) -> Iterator[Recorded]:
        started = time.time()
        for listed in self._listed:
            yield listed.whole(started)
        for number in count(1):
            for listed in self._listed:
                yield from listed.step(started + number * self._step_s, number)


class _Listed:
    """One instrument's market, in messages."""

    def __init__(self, instrument: Instrument, seed: int, activity: Activity) -> None:
        self._name = instrument.symbol.removeprefix(PREFIX)
        self._market = Market(instrument, seed, activity, int(time.time()))
        self._price = partial(_decimal, instrument.tick_decimals)
        self._quantity = partial(_decimal, instrument.step_decimals)

    def whole(self, at: float) -> Recorded:
        """The whole book."""
        market = self._market
        market.take_diff()
        bids, asks = (self._texts(side.levels()) for side in (market.bids, market.asks))
        return self._book("snapshot", bids, asks, at)

    def step(self, at: float, number: int) -> Iterator[Recorded]:
        """Move the market one step; tell its trades, every second time also its book, once a second its statistics."""
        market, name = self._market, self._name
        if trades := market.step():
            yield Recorded(at, f"trade:{name}", wire.trades(name, [self._fill(trade, at) for trade in trades]))
        if number % _STEPS_PER_BOOK == 0 and (diff := market.take_diff()) is not None:
            yield self._book("update", self._texts(diff.bids.items()), self._texts(diff.asks.items()), at)
        if number % _STEPS_PER_TICKER == 0:
            last, first, high, low = map(self._price, (market.last_price, market.open, market.high, market.low))
            volume = self._quantity(market.volume)
            payload = wire.ticker(name, last=last, first=first, high=high, low=low, volume=volume)
            yield Recorded(at, f"ticker:{name}", payload)

    def _book(self, kind: str, bids: Levels, asks: Levels, at: float) -> Recorded:
        market = self._market
        best = [self._texts(side.levels(_CHECKED_LEVELS)) for side in (market.bids, market.asks)]
        payload = wire.book(self._name, kind, bids, asks, wire.checksum(*best), at)
        return Recorded(at, f"book:{self._name}", payload, bids, asks, kind == "snapshot")

    def _fill(self, trade: Trade, at: float) -> wire.Fill:
        side = "sell" if trade.buyer_is_maker else "buy"
        return wire.Fill(self._price(trade.price), self._quantity(trade.quantity), at, side, "market", trade.trade_id)

    def _texts(self, levels: Iterable[tuple[int, int]]) -> Levels:
        return [(self._price(price), self._quantity(quantity)) for price, quantity in levels]


def _decimal(decimals: int, units: int) -> str:
    return f"{units / 10**decimals:.{decimals}f}"

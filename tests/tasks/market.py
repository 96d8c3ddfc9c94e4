"""A market for the tests: writes what ingest writes, entry by entry, and breaks it on request."""

from __future__ import annotations

import redis

from tests import appending
from tickfence.keys import Keys
from tickfence.streams import append, codec

KEYS = Keys()
Levels = list[tuple[float, float]]

DELAY_MS = 100
"""From an event at the exchange to its entry."""


class Market:
    """The market data of one symbol in Redis: a book around 100, a trade now and then."""

    def __init__(self, client: redis.Redis, symbol: str) -> None:
        self.client, self.symbol = client, symbol
        self.update_id = 10
        self.trade_id = 0
        self.top = "0-0"

    def now_ms(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1000 + microseconds // 1000

    def open(self) -> None:
        """Snapshot, ticker, info, and a first diff and trade."""
        self.snapshot()
        statistics = ["100.5", "1.5", "101", "99", "1000", self.now_ms()]
        self.client.hset(KEYS.ticker(self.symbol), mapping=dict(zip(codec.TICKER_FIELDS, statistics, strict=True)))
        self.rules()
        self.diff()
        self.trade()

    def rules(self, tick_size: str = "0.01", status: str = "trading") -> None:
        """What the exchange's rules are from now on."""
        rules = {"tick_size": tick_size, "step_size": "0.001", "status": status}
        self.client.hset(KEYS.info(self.symbol), mapping=rules)

    def snapshot(self, bids: Levels | None = None, asks: Levels | None = None) -> None:
        book = codec.Snapshot(
            last_update_id=self.update_id,
            stream_id=self.top,
            bids=bids or [(99.0, 1.0), (98.0, 2.0)],
            asks=asks or [(101.0, 1.0)],
            time=self.now_ms(),
        )
        self.client.set(KEYS.snapshot(self.symbol), codec.encode_snapshot(book))

    def diff(self, bids: Levels | None = None, asks: Levels | None = None, *, lost: int = 0, ahead_ms: int = 0) -> None:
        """The next diff, after ``lost`` ones that never arrived, ``ahead_ms`` in the future."""
        first = self.update_id + 1 + lost
        self.update_id = first + 1
        now = self.now_ms() + ahead_ms
        bids = bids or [(99.5, float(self.update_id))]
        packed = append.packed_diff(now - DELAY_MS, first, self.update_id, bids, asks or [], now)
        appending.add(self.client, KEYS.book(self.symbol), packed)
        self.top = f"{now - DELAY_MS}-{self.update_id}"

    def trade(self, price: str = "100.25", *, ahead_ms: int = 0) -> None:
        """The next trade, ``ahead_ms`` in the future."""
        self.trade_id += 1
        now = self.now_ms() + ahead_ms
        packed = append.packed_trade(now - DELAY_MS, self.trade_id, price, "0.5", True, now)
        appending.add(self.client, KEYS.trades(self.symbol), packed)

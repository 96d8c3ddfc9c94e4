"""A market written down in plain lists, and the slow sections of a report recomputed from all of it."""

from typing import Any

from tests.oracles import anomalies, liquidity
from tests.oracles.exact import exact
from tests.oracles.liquidity import Levels
from tests.oracles.percentile import percentile
from tests.oracles.volume_profile import volume_profile


class PlainMarket:
    """Everything that ever happened to one symbol; nothing is ever forgotten but with the book itself."""

    def __init__(self, tick_size: float | None) -> None:
        self.tick_size = tick_size
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.quantities: list[float] = []
        self.changes: list[anomalies.Change] = []
        self.trades: list[Any] = []
        self.newest_ms = 0  # time of the newest diff
        self.changes_known_after = 0
        self.trades_known_after = 0

    def load(self, bids: Levels, asks: Levels) -> None:
        self.bids, self.asks = dict(bids), dict(asks)
        self.quantities += [quantity for _, quantity in bids] + [quantity for _, quantity in asks]

    def diff(self, time: int, bids: Levels, asks: Levels) -> None:
        if not self.newest_ms:
            self.changes_known_after = time - 1
        self.newest_ms = time
        for side, book, levels in (("bid", self.bids, bids), ("ask", self.asks, asks)):
            for price, quantity in levels:
                before = book.pop(price, 0.0)
                if quantity > 0:
                    book[price] = quantity
                    self.quantities.append(quantity)
                if before != quantity:
                    self.changes.append((time, side, price, before, quantity))

    def slow_sections(self, now: int, computed_at: int | None = None) -> dict[str, Any]:
        """now: on the exchange's clock."""
        bids, asks = sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
        p10, p95 = percentile(self.quantities, 10), percentile(self.quantities, 95)
        sections: dict[str, Any] = {"computed_at": computed_at or now, "liquidity": {}, "anomalies": []}
        if p10 is not None and p95 is not None:
            sections["liquidity"]["walls"] = liquidity.walls("bid", bids, p95) + liquidity.walls("ask", asks, p95)
            sections["liquidity"]["vacuums"] = liquidity.vacuums(bids, asks, p10)
        profile = volume_profile(self.trades, now, self.tick_size, self.trades_known_after) if self.tick_size else None
        if profile:
            sections["liquidity"]["volume_profile"] = profile
        spread_bps = imbalance = None
        known_after = max(self.changes_known_after, self.trades_known_after)
        if bids and asks:
            bid, ask = exact(bids[0][0]), exact(asks[0][0])
            spread_bps = (ask - bid) / ((bid + ask) / 2) * 10_000
            total_bid, total_ask = sum(exact(q) for _, q in bids[:20]), sum(exact(q) for _, q in asks[:20])
            imbalance = (total_bid - total_ask) / (total_bid + total_ask)
            if p95 is not None:
                sections["anomalies"] += anomalies.spoofing(
                    self.changes, self.trades, now, p95, bids[0][0], asks[0][0], known_after
                )
        start = max(now - 30_000, known_after)
        sections["anomalies"] += anomalies.icebergs(
            self.changes, self.trades, start, self.newest_ms, self.bids, self.asks
        )
        sections["anomalies"] += anomalies.flash_crash_risk(
            spread_bps, imbalance, self.trades, now, self.trades_known_after
        )
        return sections

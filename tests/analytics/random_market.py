"""A seeded random market, written down entry by entry, with a spoofer and an iceberg in it."""

from random import Random
from typing import NamedTuple

START = 1_700_000_000_000


class Diff(NamedTuple):
    first_id: int
    last_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    time: int


class Trade(NamedTuple):
    time: int
    price: float
    quantity: float
    is_buy: bool


class RandomMarket:
    """Bids below 100, asks above, 0.01 apart. Every step takes 100 ms and makes one diff and a few trades."""

    def __init__(self, seed: int, levels: int = 40) -> None:
        self.random = Random(seed)
        self.time, self.last_id = START, 1000
        self.levels = levels
        self.bids = [(self.price("bid", place), self.quantity()) for place in range(levels)]
        self.asks = [(self.price("ask", place), self.quantity()) for place in range(levels)]
        self.steps = 0

    def price(self, side: str, place: int) -> float:
        return round(100 - 0.01 * place, 2) if side == "bid" else round(100.01 + 0.01 * place, 2)

    def quantity(self) -> float:
        return round(self.random.choice([0.1, 1, 1, 2, 40]) * self.random.uniform(0.5, 1), 3)

    def step(self) -> tuple[Diff, list[Trade]]:
        self.time += 100
        self.steps += 1
        first, self.last_id = self.last_id + 1, self.last_id + self.random.randint(1, 4)
        bids, asks = (
            [
                (self.price(side, self.random.randrange(1, self.levels)), self.random.choice([0.0, self.quantity()]))
                for _ in range(self.random.randrange(5))
            ]
            for side in ("bid", "ask")
        )
        for price in (90.0, 99.98):
            # Far from the market this is spoofing, near it is not.
            bids.append((price, 300.0 if self.steps // 10 % 2 else 0.0))
        trades = [
            Trade(
                self.time - self.random.randrange(100),
                100.0 if self.random.random() < 0.5 else self.price("ask", self.random.randrange(10)),
                self.quantity(),
                is_buy=False,
            )
            for _ in range(self.random.randrange(4))
        ]
        return Diff(first, self.last_id, bids, asks, self.time), sorted(trades, key=lambda trade: trade.time)

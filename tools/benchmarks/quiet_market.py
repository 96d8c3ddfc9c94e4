"""A market in which little happens: one diff and one trade a symbol every few seconds, at little cost.

    python -m tools.benchmarks.quiet_market --ports 7000,7001,7002 --symbols 10000 --every 4

It writes what ingest writes, with ingest's own encoder, to a Redis Cluster, until it is ended. Symbols are spread over the
interval. After an error, as in a failover, a symbol begins again with a snapshot.
"""

from __future__ import annotations

import argparse
import time

from tickfence.keys import Keys
from tickfence.streams import append
from tickfence.streams.codec import Level, Snapshot
from tools.benchmarks.slot_routing import Addressed, SlotRouting

KEYS = Keys()
TICK_S = 0.1
LEVELS = 25
SNAPSHOT_EVERY = 15
KEEP_MS = 120_000


def names(count: int) -> list[str]:
    """Names of symbols. They are short: a variable of execve is limited to 128 kB, and all must fit."""
    return [f"T{number:05}USD" for number in range(count)]


class QuietSymbol:
    """One symbol's market: the book stands, and the quantity of its best levels changes.

    Args:
        name: the symbol.
        price: its mid price.
    """

    def __init__(self, name: str, price: float) -> None:
        self._bids: list[Level] = [(round(price - 0.01 * n, 2), 1.0 + n) for n in range(1, LEVELS + 1)]
        self._asks: list[Level] = [(round(price + 0.01 * n, 2), 1.0 + n) for n in range(1, LEVELS + 1)]
        self._snapshot, self._trades, self._book = KEYS.snapshot(name), KEYS.trades(name), KEYS.book(name)
        self._info, self._ticker = KEYS.info(name), KEYS.ticker(name)
        self._update = 0
        self.broken = True

    def listing(self, now_ms: int) -> list[Addressed]:
        """The rules and the statistics of 24 hours."""
        info = (
            "tick_size",
            "0.01",
            "step_size",
            "0.01",
            "status",
            "trading",
            "book_from",
            0,
            "base",
            "T",
            "quote",
            "USD",
        )
        ticker = ("last", "100", "change_pct", "0", "high", "101", "low", "99", "volume", "1000", "r", now_ms)
        return [
            Addressed.of(append.set_hash(self._info, info)),
            Addressed.of(append.set_hash(self._ticker, ticker)),
        ]

    def next(self, now_ms: int) -> list[Addressed]:
        """The next diff and trade, and now and then a snapshot before them."""
        found = []
        if self.broken or self._update % SNAPSHOT_EVERY == 0:
            found.append(Addressed.of(append.set_snapshot(self._snapshot, self._as_snapshot(now_ms))))
            self.broken = False
        self._update += 1
        quantity = 1.0 + self._update % 7
        (bid, _), (ask, _) = self._bids[0], self._asks[0]
        self._bids[0], self._asks[0] = (bid, quantity), (ask, quantity)
        diff = append.packed_diff(now_ms, self._update, self._update, self._bids[:1], self._asks[:1], now_ms)
        buys = self._update % 2 == 0
        trade = append.packed_trade(now_ms, self._update, str(ask if buys else bid), "0.5", buys, now_ms)
        for key, fields, entry in ((self._trades, append.TRADE_FIELDS, trade), (self._book, append.DIFF_FIELDS, diff)):
            head = append.xadd_head(key, fields, keep_from_ms=now_ms - KEEP_MS)
            found.append(Addressed(key, head + entry))
        return found

    def _as_snapshot(self, now_ms: int) -> Snapshot:
        # Exchange times never fall, so this is at or above the id of the newest entry that it includes.
        stream_id = f"{now_ms}-{self._update}" if self._update else "0-0"
        return Snapshot(last_update_id=self._update, stream_id=stream_id, bids=self._bids, asks=self._asks, time=now_ms)


def run(ports: list[int], count: int, every_s: float) -> None:
    """Write until this process is ended."""
    routing = SlotRouting(ports)
    symbols = [QuietSymbol(name, 100.0 + number % 50) for number, name in enumerate(names(count))]
    began, done = time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) / every_s * count)
        now_ms = int(time.time() * 1000)
        turns = [symbols[number % count] for number in range(done, due)]
        owners, commands = [], []
        for number, symbol in enumerate(turns, done):
            wanted = [*(symbol.listing(now_ms) if number < count else ()), *symbol.next(now_ms)]
            owners += [symbol] * len(wanted)
            commands += wanted
        for symbol, reply in zip(owners, routing.call(commands), strict=True):
            symbol.broken |= isinstance(reply, Exception) and not append.refused(reply)
        done = due
        time.sleep(TICK_S)


def main() -> None:
    """Carry out the command line."""
    p = argparse.ArgumentParser(prog="python -m tools.benchmarks.quiet_market", description=__doc__.splitlines()[0])
    p.add_argument("--ports", required=True, help="loopback ports of the cluster's servers, comma-separated")
    p.add_argument("--symbols", type=int, default=10_000, help="how many (%(default)s)")
    p.add_argument("--every", type=float, default=4.0, help="seconds between two diffs of a symbol (%(default)s)")
    given = p.parse_args()
    run([int(port) for port in given.ports.split(",")], given.symbols, given.every)


if __name__ == "__main__":
    main()

"""A market in which little happens: one diff and one trade a symbol every few seconds, at little cost.

    python -m tools.benchmarks.quiet_market --url redis+cluster://127.0.0.1:7000 --symbols 10000 --every 4

It writes what ingest writes, until it is ended. Symbols are spread over the
interval. After an error, as in a failover, a symbol begins again with a snapshot.
"""

from __future__ import annotations

import argparse
import time
from itertools import chain

from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.connect import connect
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.raw_pipeline import exchange
from tickfence.streams import append
from tickfence.streams.codec import INFO_FIELDS, TICKER_FIELDS, Level, Snapshot, encode_levels

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

    def listing(self, now_ms: int) -> list[Command]:
        """The rules and the statistics of 24 hours."""
        info = zip(INFO_FIELDS, ("0.01", "0.01", "trading", "0", "T", "USD"), strict=True)
        ticker = zip(TICKER_FIELDS, ("100", "0", "101", "99", "1000", str(now_ms)), strict=True)
        return [append.set_hash(self._info, chain(*info)), append.set_hash(self._ticker, chain(*ticker))]

    def next(self, now_ms: int) -> list[Command]:
        """The next diff and trade, and now and then a snapshot before them."""
        found = []
        if self.broken or self._update % SNAPSHOT_EVERY == 0:
            found.append(append.set_snapshot(self._snapshot, self._as_snapshot(now_ms)))
            self.broken = False
        self._update += 1
        quantity = 1.0 + self._update % 7
        (bid, _), (ask, _) = self._bids[0], self._asks[0]
        self._bids[0], self._asks[0] = (bid, quantity), (ask, quantity)
        bids, asks = encode_levels(self._bids[:1]), encode_levels(self._asks[:1])
        side, price = ("b", ask) if self._update % 2 == 0 else ("s", bid)
        id_ = *append.xadd_options(now_ms - KEEP_MS, create=True), f"{now_ms}-{self._update}"
        trade = ("p", str(price), "q", "0.5", "s", side, "r", now_ms)
        diff = ("U", self._update, "b", bids, "a", asks, "r", now_ms, "t", 0)
        return [*found, ("XADD", self._trades, *id_, *trade), ("XADD", self._book, *id_, *diff)]

    def _as_snapshot(self, now_ms: int) -> Snapshot:
        # Exchange times never fall, so this is at or above the id of the newest entry that it includes.
        stream_id = f"{now_ms}-{self._update}" if self._update else "0-0"
        return Snapshot(last_update_id=self._update, stream_id=stream_id, bids=self._bids, asks=self._asks, time=now_ms)


def run(url: str, count: int, every_s: float) -> None:
    """Write until this process is ended."""
    client = connect(url, name="market", timeout_s=2)
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
        try:
            replies = exchange(client, commands)
        except REDIS_ERRORS as error:  # no server can be reached, or a slot has none
            replies = [error] * len(commands)
        for symbol, reply in zip(owners, replies, strict=True):
            symbol.broken |= isinstance(reply, Exception) and not append.refused(reply)
        done = due
        time.sleep(TICK_S)


def main() -> None:
    """Carry out the command line."""
    p = argparse.ArgumentParser(prog="python -m tools.benchmarks.quiet_market", description=__doc__.splitlines()[0])
    p.add_argument("--url", required=True, help="of the data plane, as REDIS_URL")
    p.add_argument("--symbols", type=int, default=10_000, help="how many (%(default)s)")
    p.add_argument("--every", type=float, default=4.0, help="seconds between two diffs of a symbol (%(default)s)")
    given = p.parse_args()
    run(given.url, given.symbols, given.every)


if __name__ == "__main__":
    main()

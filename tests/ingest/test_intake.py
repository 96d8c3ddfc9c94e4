"""Messages in, and what ingest does about them before anything reaches Redis."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp
import pytest

from ingest.binance import Binance
from ingest.book_sync import BookSync
from ingest.events import Depth
from ingest.feed import Feed
from ingest.intake import MAX_AHEAD_MS, Intake
from ingest.pacing import Allowance
from ingest.rest import Priority
from ingest.silence import Silence
from ingest.writer import Writer
from tests.ingest.writing import counted
from tickfence.coordination.clock import ServerClock
from tickfence.keys import Keys

SYMBOL = "BTCUSDT"
NOW = int(time.time() * 1000)
DEPTH = Depth(10, [(99.0, 1.0)], [(101.0, 1.0)])


class Bench:
    """An intake whose writer has no Redis to write to, so that what it was given stays in sight."""

    def __init__(self) -> None:
        exchange = Binance([SYMBOL])
        self.books = {SYMBOL: BookSync(SYMBOL)}
        self.wanted: list[tuple[str, Priority]] = []
        self.writer = Writer(
            "redis://127.0.0.1:1/0",
            self.books,
            keys=Keys(),
            clock=ServerClock(),
            buffer_entries=100,
            snapshot_interval_ms=5_000,
        )
        self.intake = Intake(
            exchange,
            self.books,
            self.writer,
            now_ms=lambda: NOW,
            want_depth=lambda symbol, priority: self.wanted.append((symbol, priority)),
        )
        self.feed = Feed(
            aiohttp.ClientSession.__new__(aiohttp.ClientSession),  # never opened
            exchange,
            "ws://127.0.0.1:1",
            [SYMBOL],
            on_message=self.intake.on_message,
            on_open=self.intake.on_open,
            openings=Allowance(1, 1.0),
            silence=Silence(),
        )

    def diff(self, first: int, last: int, *, time_ms: int = NOW, **changes: Any) -> None:
        data = {"e": "depthUpdate", "E": time_ms, "s": SYMBOL, "U": first, "u": last, "b": [], "a": []}
        self.message("btcusdt@depth@100ms", {**data, **changes})

    def message(self, stream: str, data: dict[str, Any]) -> None:
        self.intake.on_message(self.feed, json.dumps({"stream": stream, "data": data}).encode())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_books_are_asked_for_when_a_connection_opens_and_until_they_are_in_sync(bench: Bench) -> None:
    bench.intake.on_open(bench.feed)
    assert bench.wanted == [(SYMBOL, Priority.START)]
    bench.diff(12, 12)
    assert not bench.intake.on_depth(SYMBOL, DEPTH), "too old: another is needed"
    assert bench.intake.on_depth(SYMBOL, DEPTH._replace(last_update_id=11))
    assert bench.writer.waiting == 1
    bench.wanted.clear()
    bench.intake.on_open(bench.feed)
    assert bench.wanted == []
    assert bench.intake.on_depth(SYMBOL, DEPTH), "of a book in sync no other is needed"


def test_a_bad_diff_alone_makes_the_book_be_loaded_again(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, DEPTH)
    bench.diff(11, 11, b=[["-1", "1"]])
    assert not bench.books[SYMBOL].in_sync
    assert bench.wanted == [(SYMBOL, Priority.GAP)]
    assert bench.writer.waiting == 0


def test_a_bad_trade_leaves_the_book_alone(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, DEPTH)
    bench.message("btcusdt@trade", {"e": "trade", "s": SYMBOL, "t": 1, "p": "NaN", "q": "1", "T": NOW, "m": True})
    assert bench.books[SYMBOL].in_sync
    assert (bench.wanted, bench.writer.waiting) == ([], 0)


def test_times_far_in_the_future_would_stop_the_stream_and_are_refused(bench: Bench) -> None:
    before = counted("nt_ingest_rejected_total", reason="bad_time")
    bench.intake.on_depth(SYMBOL, DEPTH)
    trade = {"e": "trade", "s": SYMBOL, "t": 1, "p": "1", "q": "1", "m": True}
    bench.message("btcusdt@trade", {**trade, "T": NOW + MAX_AHEAD_MS + 1})
    assert bench.books[SYMBOL].in_sync
    bench.diff(11, 11, time_ms=NOW + MAX_AHEAD_MS + 1)
    assert not bench.books[SYMBOL].in_sync
    assert counted("nt_ingest_rejected_total", reason="bad_time") - before == 2
    assert bench.writer.waiting == 0
    bench.message("btcusdt@trade", {**trade, "T": NOW + MAX_AHEAD_MS})
    assert bench.writer.waiting == 1


def test_a_market_that_left_the_snapshot_s_levels_is_loaded_again(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, DEPTH._replace(lowest_bid=98.0))
    bench.intake.check_depth(SYMBOL)
    assert bench.books[SYMBOL].in_sync
    bench.diff(11, 11, b=[["97", "1"]])
    bench.intake.check_depth(SYMBOL)
    assert bench.books[SYMBOL].why == "shallow"
    assert bench.wanted == [(SYMBOL, Priority.GAP)]


def test_messages_and_events_are_counted_once(bench: Bench) -> None:
    def counters() -> list[float]:
        events = [counted("nt_ingest_events_total", kind=kind) for kind in ("diff", "trade", "ticker")]
        return [counted("nt_ws_messages_total"), *events]

    before = counters()
    bench.intake.on_depth(SYMBOL, DEPTH)
    bench.diff(11, 11)
    bench.diff(12, 12)
    bench.message("btcusdt@trade", {"e": "trade", "s": SYMBOL, "t": 1, "p": "1", "q": "1", "T": NOW, "m": True})
    bench.message("btcusdt@trade", {"e": "trade", "s": SYMBOL, "t": 2, "p": "x", "q": "1", "T": NOW, "m": True})
    for _ in range(2):
        bench.intake.count()
        assert [now - old for now, old in zip(counters(), before, strict=True)] == [4, 2, 1, 0]


def test_the_lag_of_diffs_tells_how_far_the_clocks_differ(bench: Bench) -> None:
    bench.diff(1, 1, time_ms=NOW - 1_500)
    bench.diff(2, 2, time_ms=NOW - 1_400)
    bench.intake.count()
    assert counted("nt_exchange_clock_skew_ms") == 1_400

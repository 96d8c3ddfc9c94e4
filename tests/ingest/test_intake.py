"""Messages in, and what ingest does about them before anything reaches Redis."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp
import pytest

from ingest.book_sync import BookSync
from ingest.events import BookSnapshot, Depth
from ingest.feed import Feed
from ingest.intake import MAX_AHEAD_MS, Intake
from ingest.pacing import Allowance
from ingest.rest import Priority
from ingest.silence import Silence
from ingest.venues.binance import Binance
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
        self.redis_ahead_ms = 0
        self.intake = Intake(
            exchange,
            self.books,
            self.writer,
            now_ms=lambda: NOW + self.redis_ahead_ms,
            host_ms=lambda: NOW,
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


def test_a_snapshot_that_cannot_be_is_asked_for_again_though_nothing_follows(bench: Bench) -> None:
    bench.intake.on_events([BookSnapshot(SYMBOL, NOW, Depth(10, [(2.0, 1.0)], [(1.0, 1.0)]))])
    assert not bench.books[SYMBOL].in_sync
    assert bench.wanted == [(SYMBOL, Priority.GAP)]


def test_while_redis_clock_is_an_hour_behind_data_is_taken(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, DEPTH)
    bench.redis_ahead_ms = -3_600_000
    bench.message("btcusdt@trade", {"e": "trade", "s": SYMBOL, "t": 1, "p": "1", "q": "1", "T": NOW, "m": True})
    bench.diff(11, 11, time_ms=NOW)
    assert bench.books[SYMBOL].in_sync
    assert bench.writer.waiting == 2


def deep(update_id: int = 10, bids: int = 100, *, first: int = 0) -> Depth:
    """A snapshot of so many bids from 1000 - first down, and one ask."""
    levels = [(1_000.0 - place, 1.0) for place in range(first, first + bids)]
    return Depth(update_id, levels, [(1_001.0, 1.0)], lowest_bid=levels[-1][0])


def fall(bench: Bench, update_id: int, first: int, count: int) -> None:
    """The best bids vanish."""
    bench.diff(update_id, update_id, b=[[str(1_000 - place), "0"] for place in range(first, first + count)])


def test_a_book_whose_market_nears_the_horizon_is_refreshed_and_stays_in_use(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, deep())
    fall(bench, 11, 0, 50)
    assert bench.wanted == []
    fall(bench, 12, 50, 1)
    assert bench.wanted == [(SYMBOL, Priority.REFRESH)]
    assert bench.intake.on_depth(SYMBOL, deep(12, first=51))
    assert bench.books[SYMBOL].in_sync
    assert len(bench.books[SYMBOL].book.bids) == 100
    assert bench.writer.waiting == 2
    fall(bench, 13, 51, 1)
    assert len(bench.wanted) == 1


def test_a_book_that_cannot_fill_a_report_is_refreshed_first_of_all(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, deep())
    fall(bench, 11, 0, 60)
    fall(bench, 12, 60, 21)
    assert bench.wanted == [(SYMBOL, Priority.REFRESH), (SYMBOL, Priority.GAP)]


def test_a_refresh_is_tried_again_and_an_audit_has_time(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, deep())
    bench.intake.audit(SYMBOL)
    assert bench.wanted == [(SYMBOL, Priority.AUDIT)]
    bench.diff(11, 11)
    for failed in (None, deep(9)):
        assert bench.intake.on_depth(SYMBOL, failed), "no answer, and one older than the audit"
    fall(bench, 12, 0, 60)
    for failed in (None, deep(9)):
        assert not bench.intake.on_depth(SYMBOL, failed)
    assert bench.intake.on_depth(SYMBOL, deep(12, first=60))


def test_a_market_that_stays_near_the_horizon_is_not_asked_for_with_every_diff(bench: Bench) -> None:
    bench.intake.on_depth(SYMBOL, deep())
    fall(bench, 11, 0, 60)
    bench.wanted.clear()
    bench.intake.on_depth(SYMBOL, deep(11, 40, first=60))
    for update_id in range(12, 20):
        bench.diff(update_id, update_id)
    assert bench.wanted == []


def test_a_book_that_differs_is_told_counted_and_corrected(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    audits, mismatches = "nt_book_audits_total", "nt_book_audit_mismatch_total"
    before = counted(audits), counted(mismatches)
    bench.intake.on_depth(SYMBOL, deep())
    for update_id, wrong in ((10, 0), (10, 7)):
        bench.intake.audit(SYMBOL)
        depth = deep(update_id)
        depth.bids[wrong] = (depth.bids[wrong][0], 1.0 + wrong)
        assert bench.intake.on_depth(SYMBOL, depth)
    assert (counted(audits) - before[0], counted(mismatches) - before[1]) == (2, 1)
    assert bench.books[SYMBOL].book.bids.quantity(993.0) == 8.0
    [record] = [each for each in caplog.records if "differed" in each.message]
    assert vars(record)["bids"] == ["993.0: 1.0 here, 8.0 there"]


def test_a_book_out_of_sync_is_not_audited(bench: Bench) -> None:
    bench.intake.audit(SYMBOL)
    assert bench.wanted == []


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

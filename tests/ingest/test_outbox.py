"""Snapshots, tickers and rules on their way to Redis: when they are written, and when again."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.book_sync import BookSync
from ingest.events import Depth, SymbolRules, Ticker
from ingest.outbox import HashOutbox, SnapshotOutbox
from ingest.stream_state import StreamState
from ingest.streams import Streams
from ingest.writer_leases import WriterLeases
from tickfence.keys import Keys
from tickfence.monitoring.ingest_metrics import SnapshotReason
from tickfence.redis_access.command import UNSENT, Command
from tickfence.redis_access.errors import ResponseError

A, B = "AAUSDT", "BBUSDT"
RULES = SymbolRules("0.01", "0.1", "trading")


def streams(books: dict[str, BookSync]) -> Streams:
    trades, diffs = ({symbol: StreamState() for symbol in books} for _ in range(2))
    return Streams(Keys(), trades, diffs, books, WriterLeases(Keys(), "", trades, diffs, books), 5_000)


class Outbox:
    """An outbox whose every batch has the same reply."""

    def __init__(self) -> None:
        self.now_ms = 1_000
        self.outbox = HashOutbox(streams({}), lambda: self.now_ms)

    def sent(self, reply: Any = 5) -> list[Command]:
        requests = self.outbox.requests()
        for _, on_reply in requests:
            on_reply(reply)
        return sorted(command for command, _ in requests)

    def ticker(self, symbol: str) -> None:
        self.outbox.set_ticker(Ticker(symbol, "1", "2", "3", "4", "5"))


def test_a_ticker_says_when_it_was_received_not_when_it_was_written() -> None:
    one = Outbox()
    one.ticker(A)
    one.now_ms = 9_000
    values = ("last", "1", "change_pct", "2", "high", "3", "low", "4", "volume", "5", "r", 1_000)
    assert one.sent() == [("HSET", "md:{AAUSDT}:ticker", *values)]
    one.outbox.write_again({A})
    assert one.sent() == [("HSET", "md:{AAUSDT}:ticker", *values)]


def test_tickers_are_written_once_a_second() -> None:
    one = Outbox()
    one.ticker(A)
    assert len(one.sent()) == 1
    one.ticker(A)
    one.ticker(B)
    assert one.sent() == []


def test_what_redis_lost_is_written_again_at_once() -> None:
    one = Outbox()
    one.ticker(A)
    one.outbox.set_info(A, RULES)
    one.outbox.set_info(B, RULES)
    assert len(one.sent()) == 3
    assert one.sent() == []
    one.outbox.write_again({A})
    assert [command[1] for command in one.sent()] == ["md:{AAUSDT}:info", "md:{AAUSDT}:ticker"]


def test_rules_that_were_not_sent_are_sent_again() -> None:
    one = Outbox()
    one.outbox.set_info(A, RULES)
    first = one.sent(UNSENT)
    assert one.sent() == first
    assert one.sent() == []


def test_rules_that_redis_refused_wait_before_they_are_sent_again() -> None:
    one = Outbox()
    one.outbox.set_info(A, RULES)
    first = one.sent(ResponseError("OOM"))
    assert one.sent() == [], "not at once"
    one.outbox.write_again(())
    assert one.sent() == first


def test_another_lane_writes_what_this_one_knew() -> None:
    one, other = Outbox(), Outbox()
    one.ticker(A)
    one.outbox.set_info(A, RULES)
    written = one.sent()
    one.outbox.hand_over(lambda _: other.outbox)
    assert other.sent() == written


@pytest.mark.parametrize("reply", [1, 0, UNSENT, ResponseError("OOM")])
def test_a_snapshot_on_its_way_takes_nothing_from_the_one_that_corrects_it(reply: Any) -> None:
    book = BookSync(A)
    book.on_depth(Depth(7, [(9.0, 1.0)], [(10.0, 1.0)]), 1_000)
    outbox = SnapshotOutbox(streams({A: book}))
    outbox.want(A, SnapshotReason.INTERVAL)
    ((_, on_reply),) = outbox.requests()
    outbox.want(A, SnapshotReason.CORRECTED)
    on_reply(reply)
    (_, on_reply), (book_from, _) = outbox.requests()
    assert book_from == ("HSET", "md:{AAUSDT}:info", "book_from", 7)
    on_reply(1)
    outbox.want(A, SnapshotReason.INTERVAL)
    assert len(outbox.requests()) == 1, "it was corrected once"

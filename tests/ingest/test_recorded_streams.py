"""Recordings of Kraken and Coinbase: every book, after every update, is the one of an independent replay.

Kraken's sums come from the exchange: no one here decides whether its books are right.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.book_sync import BookSync
from ingest.events import BookSnapshot, Diff, Trade
from ingest.venue import Venue
from ingest.venues import load
from tests.oracles import coinbase_book, kraken_book
from tests.tools.simulator.exchange_process import RECORDED_CAPTURE
from tickfence.analytics.book_side import BookSide
from tickfence.instrument import Instrument
from tools.simulator.captured.coinbase import Coinbase
from tools.simulator.captured.kraken import Kraken

CAPTURES = RECORDED_CAPTURE.parent
KRAKEN, COINBASE = CAPTURES / "kraken", CAPTURES / "coinbase"
V1_NAMES = {"KSM/BTC": "KSM/XBT"}


def recorded(stem: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not Path(f"{stem}.ws").exists(), reason="no recorded capture here")


def followed(venue: Venue, name: str, symbols: set[str]) -> dict[Instrument, BookSync]:
    instruments = [Instrument(f"{name}:{symbol}") for symbol in symbols]
    venue.follow(instruments)
    books = {each: BookSync(each, venue.snapshots, venue.book_levels) for each in instruments}
    for symbol, book in books.items():
        book.proof = venue.proof(symbol)
    return books


def take(book: BookSync, event: BookSnapshot | Diff) -> None:
    if type(event) is Diff:
        assert book.on_diff(book.number(event), 0)
    else:
        assert type(event) is BookSnapshot
        assert book.on_snapshot(event, 0)


def levels(side: BookSide) -> dict[float, float]:
    return dict(zip(*side.top(len(side)), strict=True))


@recorded(KRAKEN)
def test_every_book_of_kraken_after_every_update() -> None:
    recording, venue = Kraken(str(KRAKEN)), load("kraken")
    books = followed(venue, "kraken", set(recording.symbols))
    truth = kraken_book.states(KRAKEN)
    updates = 0
    for message in recording.messages:
        for event in venue.decode(message.payload):
            if type(event) not in (BookSnapshot, Diff):
                continue
            book, true = books[event.symbol], next(truth)
            take(book, event)  # a sum that does not match is refused
            name = event.symbol.partition(":")[2]
            assert V1_NAMES.get(name, name) == true.pair
            assert levels(book.book.bids) == true.bids
            assert levels(book.book.asks) == true.asks
            updates += not true.whole
    assert next(truth, None) is None
    assert updates == 2_647


@recorded(COINBASE)
def test_every_book_of_coinbase_after_every_update() -> None:
    recording, venue = Coinbase(str(COINBASE)), load("coinbase")
    books = followed(venue, "coinbase", set(recording.symbols))
    truth = coinbase_book.states(COINBASE)
    trades: dict[str, list[int]] = {}
    for message in recording.messages:
        for event in venue.decode(message.payload):
            if type(event) is Trade:
                trades.setdefault(event.symbol, []).append(event.trade_id)
            if type(event) not in (BookSnapshot, Diff):
                continue
            book, true = books[event.symbol], next(truth)
            take(book, event)
            assert event.symbol == f"coinbase:{true.product}"
            assert levels(book.book.bids) == true.bids
            assert levels(book.book.asks) == true.asks
    assert next(truth, None) is None
    assert all(ids == list(range(ids[0], ids[-1] + 1)) for ids in trades.values())

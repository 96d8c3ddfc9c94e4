"""The exchange's own books, kept apart from the product: against a real simulator, over its faults."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

from tests.processes import wait_until
from tests.tools.simulator.exchange_process import Exchange
from tools.chaos.history import Book, Record
from tools.chaos.reference_books import ReferenceBook, ReferenceBooks, digest
from tools.chaos.reference_streams import ReferenceStreams

BIDS, ASKS = [["9.0", "1.0"]], [["11.0", "2.0"]]


def diff(first: int, last: int, bids: object = (), asks: object = ()) -> dict[str, object]:
    return {"U": first, "u": last, "b": bids, "a": asks}


def test_diffs_that_connect_change_the_book() -> None:
    book = ReferenceBook()
    assert not book.apply(diff(4, 6, [["8.0", "5.0"]]))
    assert book.load({"lastUpdateId": 5, "bids": BIDS, "asks": ASKS})
    assert book.apply(diff(7, 8, [["9.0", "0.00"]], [["10.5", "3.0"]]))
    assert (book.update_id, book.digest()) == (8, digest([(8.0, 5.0)], [(10.5, 3.0), (11.0, 2.0)]))


def test_a_gap_needs_a_snapshot_that_connects() -> None:
    book = ReferenceBook()
    book.load({"lastUpdateId": 5, "bids": BIDS, "asks": ASKS})
    assert not book.apply(diff(7, 8))
    assert book.update_id is None
    assert not book.load({"lastUpdateId": 5, "bids": BIDS, "asks": ASKS})
    assert book.load({"lastUpdateId": 6, "bids": BIDS, "asks": ASKS})
    assert book.update_id == 8


def test_only_the_best_twenty_levels_count() -> None:
    deep = [[str(100 - n), "1.0"] for n in range(25)]
    one, other = ReferenceBook(), ReferenceBook()
    one.load({"lastUpdateId": 1, "bids": deep, "asks": ASKS})
    other.load({"lastUpdateId": 1, "bids": deep[:20], "asks": ASKS})
    assert one.digest() == other.digest()
    other.apply(diff(2, 2, [["81.0", "2.0"]]))
    assert one.digest() != other.digest()


def test_it_agrees_with_the_exchange_also_after_gaps_and_cuts() -> None:
    records: list[Record] = []
    with Exchange("--symbols", "BTCUSDT,ETHUSDT") as exchange:

        def fault(name: str, **parameters: object) -> None:
            body = json.dumps(parameters).encode()
            urllib.request.urlopen(f"{exchange.http}/simulator/faults/{name}", data=body, timeout=5).read()

        with ReferenceBooks(exchange.ws, exchange.http, ["BTCUSDT", "ETHUSDT"], records):
            for commit in (None, lambda: fault("skip", symbol="ETHUSDT", count=2), lambda: fault("drop")):
                if commit is not None:
                    commit()
                wait_until(compared(exchange, records), "an update at which book and exchange can be compared")


def test_books_by_stream_agree_with_those_of_who_comes_later() -> None:
    records: list[Record] = []
    later: list[Record] = []
    with (
        Exchange("--symbols", "okx:BTC-USDT,kraken:BTC/USDT") as exchange,
        ReferenceStreams("okx", exchange.ws, ["BTC-USDT"], records),
        ReferenceStreams("kraken", exchange.ws, ["BTC/USDT"], records),
    ):
        wait_until(lambda: len({symbol for symbol, _, _ in kept(records)}) == 2, "both books")
        skip = json.dumps({"symbol": "okx:BTC-USDT", "count": 2}).encode()
        urllib.request.urlopen(f"{exchange.http}/simulator/faults/skip", data=skip, timeout=5).read()
        since = len(records)
        wait_until(lambda: len(kept(records[since:])) > 8, "more of both")
        with (
            ReferenceStreams("okx", exchange.ws, ["BTC-USDT"], later),
            ReferenceStreams("kraken", exchange.ws, ["BTC/USDT"], later),
        ):
            wait_until(lambda: len({symbol for symbol, _, _ in kept(later)}) == 2, "both books")
        wait_until(lambda: kept(later) <= kept(records), "the same books")


def kept(records: list[Record]) -> set[tuple[str, int, str]]:
    return {(r.symbol, r.update_id, r.depth) for r in records if isinstance(r, Book)}


def compared(exchange: Exchange, records: list[Record]) -> Callable[[], bool]:
    """Whether, at some update id from now on, the true book was seen to be that of the REST snapshot; an
    AssertionError if it was another."""
    since = len(records)

    def look() -> bool:
        with urllib.request.urlopen(f"{exchange.http}/api/v3/depth?symbol=ETHUSDT&limit=20", timeout=5) as answer:
            depth = json.loads(answer.read())
        told = [(float(price), float(quantity)) for price, quantity in depth["bids"]]
        asked = [(float(price), float(quantity)) for price, quantity in depth["asks"]]
        seen = [r for r in records[since:] if isinstance(r, Book) and r.symbol == "ETHUSDT"]
        same = [book for book in seen if book.update_id == depth["lastUpdateId"]]
        assert all(book.depth == digest(told, asked) for book in same)
        return bool(same)

    return look

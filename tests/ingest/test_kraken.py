"""Kraken's dialect: what is accepted, what is refused and with which reason, and what proves a book."""

from __future__ import annotations

import binascii
import json
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.book_sync import BookSync
from ingest.events import (
    DELISTED,
    HALTED,
    TRADING,
    BookSnapshot,
    ControlReply,
    Diff,
    Notice,
    Refused,
    Rejected,
    Rules,
    SymbolRules,
    Ticker,
    Trade,
    Unfollowed,
)
from ingest.venue import Venue
from ingest.venues import load
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

BTC, ETH = Instrument("kraken:BTC/USD"), Instrument("kraken:ETH/USD")
TIME = '"timestamp":"2023-10-06T17:35:55.440295Z"'
TIME_MS = 1696613755440

# The example of the exchange's guide "Book checksum (WebSocket v2)".
BIDS = (
    "45283.5 0.10000000,45283.4 1.54582015,45282.1 0.10000000,45281.0 0.10000000,45280.3 1.54592586,"
    "45279.0 0.07990000,45277.6 0.03310103,45277.5 0.30000000,45277.3 1.54602737,45276.6 0.15445238"
)
ASKS = (
    "45285.2 0.00100000,45286.4 1.54571953,45286.6 1.54571109,45289.6 1.54560911,45290.2 0.15890660,"
    "45291.8 1.54553491,45294.7 0.04454749,45296.1 0.35380000,45297.5 0.09945542,45299.5 0.18772827"
)
SUM = 3310070434


def venue() -> Venue:
    made = load("kraken")
    made.follow([BTC, ETH])
    return made


def side(levels: str) -> str:
    pairs = (level.split() for level in levels.split(",") if level)
    return "[" + ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in pairs) + "]"


def book(kind: str, bids: str, asks: str, checksum: object, symbol: str = "BTC/USD", time: str = f",{TIME}") -> bytes:
    data = f'"symbol":"{symbol}","bids":{side(bids)},"asks":{side(asks)},"checksum":{checksum}{time}'
    return f'{{"channel":"book","type":"{kind}","data":[{{{data}}}]}}'.encode()


def sum_of(bids: str, asks: str) -> int:
    """The sum of a book whose levels are given best first."""
    best = [level for side in (asks, bids) for level in side.split(",")[:10] if level]
    return binascii.crc32("".join(str(int(text.replace(".", ""))) for level in best for text in level.split()).encode())


def parts(channel: str, *data: str, kind: str = "update") -> bytes:
    return f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(data)}]}}'.encode()


def trade(number: int, *, price: object = "62710.5", symbol: str = "BTC/USD", side: str = "buy") -> str:
    names = f'"symbol":"{symbol}","side":"{side}","price":{price},"qty":0.00120000,"ord_type":"market"'
    return f'{{{names},"trade_id":{number},{TIME}}}'


def refusal(message: bytes) -> tuple[Refusal, str | None]:
    with pytest.raises(Rejected) as caught:
        venue().decode(message)
    return caught.value.reason, caught.value.book_symbol


def loaded() -> tuple[Venue, BookSync]:
    made = venue()
    synced = BookSync(BTC, made.snapshots, made.book_levels)
    synced.proof = made.proof(BTC)
    [snapshot] = made.decode(book("snapshot", BIDS, ASKS, SUM))
    assert type(snapshot) is BookSnapshot
    assert synced.on_snapshot(snapshot, 0)
    return made, synced


def apply(made: Venue, synced: BookSync, message: bytes) -> None:
    [diff] = made.decode(message)
    assert type(diff) is Diff
    assert synced.on_diff(synced.number(diff), 0)


def test_the_sum_of_the_exchanges_own_example() -> None:
    _, synced = loaded()
    assert synced.in_sync
    assert synced.book.best_bid == (45283.5, 0.1)


def test_a_diff_keeps_the_order_of_the_message() -> None:
    [diff] = venue().decode(book("update", "", "62807.0 0.00000000,62818.8 0.65540712,62803.8 1.5", 4249465476))
    assert type(diff) is Diff
    assert (diff.symbol, diff.time_ms, diff.first_update_id, diff.last_update_id) == (BTC, TIME_MS, 0, 0)
    assert (diff.bids, diff.asks) == ([], [(62807.0, 0.0), (62818.8, 0.65540712), (62803.8, 1.5)])


def test_a_snapshot_knows_no_further_than_its_thousand_levels() -> None:
    bids = ",".join(f"{1000 - number}.5 1.0" for number in range(999))
    asks = ",".join(f"{1001 + number}.5 1.0" for number in range(1000))
    [snapshot] = venue().decode(book("snapshot", bids, asks, 1, time=""))
    assert type(snapshot) is BookSnapshot
    assert (snapshot.time_ms, snapshot.depth.lowest_bid, snapshot.depth.highest_ask) == (0, None, 2000.5)


def test_a_level_counts_with_the_text_that_set_it_last() -> None:
    made, synced = loaded()
    rest = BIDS.partition(",")[2]
    # Several changes of one level in one message, in sequence; the removal brings in an eleventh level.
    changes = "45283.5 0.2,45283.5 0.00000000,45276.5 0.50000000"
    apply(made, synced, book("update", changes, "", sum_of(f"{rest},45276.5 0.50000000", ASKS)))
    shorter = sum_of(f"45283.5 0.1000000,{rest}", ASKS)
    apply(made, synced, book("update", "45283.5 0.1000000", "", shorter))
    with pytest.raises(Rejected) as caught:  # the same number in other digits has another sum
        apply(made, synced, book("update", "45283.5 0.10000000", "", shorter))
    assert (caught.value.reason, caught.value.book_symbol) == (Refusal.CHECKSUM, BTC)
    assert not synced.in_sync


def test_a_wrong_sum_costs_the_book_until_the_next_snapshot() -> None:
    made, synced = loaded()
    with pytest.raises(Rejected, match="checksum: kraken:BTC/USD"):
        apply(made, synced, book("update", "45283.5 0.2", "", SUM))
    [diff] = made.decode(book("update", "45283.5 0.10000000", "", SUM))
    assert type(diff) is Diff
    assert not synced.on_diff(synced.number(diff), 0)
    [snapshot] = made.decode(book("snapshot", BIDS, ASKS, SUM))
    assert type(snapshot) is BookSnapshot
    assert synced.on_snapshot(snapshot, 1)
    assert synced.in_sync


def test_a_snapshot_with_a_wrong_sum_is_no_book() -> None:
    made, synced = loaded()
    [snapshot] = made.decode(book("snapshot", BIDS, ASKS, SUM + 1))
    assert type(snapshot) is BookSnapshot
    with pytest.raises(Rejected, match="checksum"):
        synced.on_snapshot(snapshot, 1)
    assert not synced.in_sync


sides = st.tuples(*[st.lists(st.tuples(st.integers(1, 40), st.integers(0, 9)), max_size=5)] * 2)


@given(st.integers(0, 10), st.integers(0, 10), st.lists(sides, min_size=1, max_size=25), st.sampled_from("fE"))
def test_pairs_of_any_decimals_and_thin_books_have_the_right_sum(
    price_decimals: int, decimals: int, updates: list[tuple[list[tuple[int, int]], ...]], form: str
) -> None:
    """Both sides change, one may become empty, several changes are of one level; exponents are written as they come."""
    made = venue()
    synced = BookSync(BTC, made.snapshots, made.book_levels)
    synced.proof = made.proof(BTC)
    book_now: tuple[dict[Decimal, str], dict[Decimal, str]] = ({}, {})

    def written(number: int, places: int) -> str:
        return f"{Decimal(number).scaleb(-places):f}"

    for step, update in enumerate(updates):
        texts = []
        for sign, side_now, changes in zip((-1, 1), book_now, update, strict=True):
            told = changes if step else [*{away: lots or 1 for away, lots in changes}.items()]  # a snapshot has levels
            levels = [
                (written(1000 + sign * away, price_decimals), written(lots * 10, decimals)) for away, lots in told
            ]
            for price, quantity in levels:
                side_now[Decimal(price)] = f"{price} {quantity}"
                if not Decimal(quantity):
                    del side_now[Decimal(price)]
            shown = [[str(Decimal(number)) if form == "E" else number for number in level] for level in levels]
            texts.append(",".join(" ".join(level) for level in shown))
        bids, asks = (
            ",".join(side_now[price] for price in sorted(side_now, reverse=reverse))
            for side_now, reverse in zip(book_now, (True, False), strict=True)
        )
        [event] = made.decode(book("update" if step else "snapshot", *texts, sum_of(bids, asks)))
        if type(event) is BookSnapshot:
            assert synced.on_snapshot(event, 0)
        else:
            assert type(event) is Diff
            assert synced.on_diff(synced.number(event), 0)
    expected = tuple({float(price): float(text.split()[1]) for price, text in side.items()} for side in book_now)
    assert tuple(map(dict, synced.book.levels())) == expected


def test_a_market_that_moves_far_leaves_the_sum_right() -> None:
    """Through levels that were deep, some of them written in other digits than the rest."""
    made = venue()
    synced = BookSync(BTC, made.snapshots, made.book_levels)
    synced.proof = made.proof(BTC)
    bids = [
        f"{1000 - n}.5 {'1.5' if n % 7 == 3 else '123456789012.12345678' if n % 7 == 5 else f'{n}.50000000'}"
        for n in range(300)
    ]
    [snapshot] = made.decode(
        book("snapshot", ",".join(bids), ASKS.replace("452", "652"), sum_of(",".join(bids), ASKS.replace("452", "652")))
    )
    assert type(snapshot) is BookSnapshot
    assert synced.on_snapshot(snapshot, 0)
    asks = ASKS.replace("452", "652")

    def update(changes: str) -> None:
        apply(made, synced, book("update", changes, "", sum_of(",".join(bids), asks)))

    for _ in range(120):  # down
        gone = bids.pop(0).split()[0]
        update(f"{gone} 0.00000000")
    for n in range(150):  # up again, so that levels at hand become deep ones
        bids.insert(0, f"{900 + n}.7 {'2.5' if n % 5 == 2 else '3.00000000'}")
        update(bids[0])
    bids[140] = f"{bids[140].split()[0]} 7.7"  # deep, in few digits
    update(bids[140])
    for _ in range(200):
        gone = bids.pop(0).split()[0]
        update(f"{gone} 0.00000000")
    assert synced.in_sync


@pytest.mark.parametrize(
    ("usual", "written"),
    [
        (b"", b""),
        (b",", b", "),
        (b'":', b'":\t'),
        (b"{", b"{\n"),
        (b"}", b" }"),
        (b'"price":45283.5,"qty":0.25000000', b'"qty":0.25000000,"price":45283.5'),
        (b'"price":45283.5,', b'"price":45283.5,"orders":3,'),
        (b'"qty":0.25000000}', b'"qty":0.25000000,"orders":{"count":3}}'),
        (b'"symbol"', b'"sequence":7,"symbol"'),
    ],
)
def test_the_texts_of_a_message_in_another_shape(usual: bytes, written: bytes) -> None:
    made, synced = loaded()
    bids, asks = BIDS.replace("45283.5 0.10000000", "45283.5 0.25000000"), ASKS.replace("0.00100000", "1.50000000")
    message = book("update", "45283.5 0.25000000", "45285.2 1.50000000", sum_of(bids, asks))
    apply(made, synced, message.replace(usual, written))
    one_side = book("update", "", "45285.2 0.00100000", sum_of(bids, ASKS))
    apply(made, synced, one_side.replace(usual, written))
    assert synced.in_sync


def test_the_sides_of_a_message_in_another_order() -> None:
    made, synced = loaded()
    bids, asks = BIDS.replace("45283.5 0.10000000", "45283.5 0.25000000"), ASKS.replace("0.00100000", "1.50000000")
    message = book("update", "45283.5 0.25000000", "45285.2 1.50000000", sum_of(bids, asks))
    sides = b'"bids":[{"price":45283.5,"qty":0.25000000}]', b'"asks":[{"price":45285.2,"qty":1.50000000}]'
    apply(made, synced, message.replace(b",".join(sides), b",".join(reversed(sides))))
    assert synced.in_sync


def test_trades_of_a_snapshot_come_in_their_order() -> None:
    message = parts("trade", trade(8, side="sell"), trade(7), kind="snapshot")
    assert venue().decode(message) == [
        Trade(BTC, TIME_MS, 7, "62710.5", "0.00120000", True),
        Trade(BTC, TIME_MS, 8, "62710.5", "0.00120000", False),
    ]


def test_a_bad_trade_does_not_cost_the_others() -> None:
    made = venue()
    made.follow([BTC])
    message = parts("trade", trade(1), trade(2, price=0), trade(3, price='"1"'), trade(4, symbol="ETH/USD"), trade(5))
    events = made.decode(message)
    assert [event.trade_id for event in events if type(event) is Trade] == [1, 5]
    assert [event.error.reason for event in events if type(event) is Refused] == [
        Refusal.BAD_PRICE,
        Refusal.NOT_A_NUMBER,
    ]


def test_a_ticker() -> None:
    values = '"last":105899.40,"volume":163.28908096,"low":104711.00,"high":106613.10,"change_pct":-0.24,"bid":1.0'
    [ticker] = venue().decode(parts("ticker", f'{{"symbol":"BTC/USD",{values}}}'))
    assert ticker == Ticker(BTC, "105899.40", "-0.24", "106613.10", "104711.00", "163.28908096")


def pairs(*rules: dict[str, Any], kind: str = "snapshot") -> bytes:
    return json.dumps({"channel": "instrument", "type": kind, "data": {"assets": [], "pairs": rules}}).encode()


def pair(symbol: str, status: str = "online") -> dict[str, Any]:
    base, quote = symbol.split("/")
    sizes = {"price_increment": 0.1, "qty_increment": 1e-08, "tick_size": 0.1}
    return {"symbol": symbol, "base": base, "quote": quote, "status": status} | sizes


def system(state: str) -> bytes:
    return parts("status", json.dumps({"system": state, "version": "2.0.10", "connection_id": 15113583034416118705}))


def rules(symbol: Instrument, status: str) -> Rules:
    base, quote = symbol.partition(":")[2].split("/")
    return Rules(symbol, SymbolRules("0.1", "0.00000001", status, base, quote))


def test_rules_of_the_symbols_that_are_followed() -> None:
    made = venue()
    found = made.decode(pairs(pair("BTC/USD"), pair("XRP/USD"), pair("ETH/USD", "cancel_only")))
    assert found == [rules(BTC, TRADING), rules(ETH, HALTED)]
    assert made.decode(pairs(pair("ETH/USD", "limit_only"), pair("XRP/USD"), kind="update")) == [rules(ETH, TRADING)]
    assert made.decode(pairs(pair("ETH/USD", "delisted"), kind="update")) == [rules(ETH, DELISTED)]
    made.follow([ETH, Instrument("kraken:XRP/USD")])
    assert made.decode(b'{"channel":"heartbeat"}') == [rules(Instrument("kraken:XRP/USD"), TRADING)]
    assert made.decode(b'{"channel":"heartbeat"}') == []


def test_a_pair_that_is_not_listed_is_delisted() -> None:
    assert venue().decode(pairs(pair("BTC/USD")))[1] == Rules(ETH, SymbolRules("", "", DELISTED))


def test_while_the_engine_does_not_match_every_pair_is_halted() -> None:
    made = venue()
    assert made.decode(system("online")) == []
    made.decode(pairs(pair("BTC/USD"), pair("ETH/USD", "delisted")))
    halted = [Notice("the trading engine is maintenance"), rules(BTC, HALTED), rules(ETH, DELISTED)]
    assert made.decode(system("maintenance")) == halted
    assert made.decode(system("maintenance")) == []
    assert made.decode(pairs(pair("BTC/USD"), kind="update")) == [rules(BTC, HALTED)]
    assert made.decode(system("online"))[1] == rules(BTC, TRADING)


def test_answers() -> None:
    made = venue()
    accepted = b'{"method":"subscribe","result":{"channel":"book","symbol":"BTC/USD"},"success":true,"req_id":1}'
    assert made.decode(accepted) == ()
    assert made.decode(b'{"method":"pong","req_id":5,"success":true}') == ()
    refused = b'{"error":"Currency pair not supported XLM/GBP","method":"subscribe","success":false,"symbol":"XLM/GBP","req_id":3}'
    streams = ["trade:XLM/GBP", "book:XLM/GBP", "ticker:XLM/GBP"]
    assert made.decode(refused) == (ControlReply("Currency pair not supported XLM/GBP", 3, streams),)
    assert made.decode(b'{"error":"Exceeded msg rate","method":"subscribe","success":false,"req_id":4}') == (
        ControlReply("Exceeded msg rate", 4, later=True),
    )
    assert made.decode(b'{"Error":"Exceeded msg rate"}') == (ControlReply("Exceeded msg rate", later=True),)
    assert made.decode(b'{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"BTC/USD"}') == ()
    assert made.decode(b'{"error":"Subscription Not Found","method":"unsubscribe","success":false,"req_id":4}') == ()


def test_requests() -> None:
    made = venue()
    streams = [*made.shared_streams, *made.streams(BTC), *made.streams(ETH)]
    found = [(json.loads(text), about) for text, about in made.requests(True, streams, 7)]
    both = ["BTC/USD", "ETH/USD"]
    assert [request["req_id"] for request, _ in found] == [7, 8, 9, 10]
    assert [request["params"] for request, _ in found] == [
        {"channel": "trade", "symbol": both, "snapshot": True},
        {"channel": "book", "symbol": both, "depth": 1000, "snapshot": True},
        {"channel": "ticker", "symbol": both, "snapshot": True},
        {"channel": "instrument", "snapshot": True},
    ]
    assert sorted(stream for _, about in found for stream in about) == sorted(streams)
    [(text, _)] = made.requests(False, [made.book_stream(BTC)], 11)
    params = {"channel": "book", "symbol": ["BTC/USD"], "depth": 1000}
    assert json.loads(text) == {"method": "unsubscribe", "params": params, "req_id": 11}


@pytest.mark.parametrize(
    ("message", "reason", "of_book"),
    [
        (b"[" * 20_000 + b"]" * 20_000, Refusal.WRONG_TYPE, None),
        (b"[]", Refusal.WRONG_TYPE, None),
        (b"{}", Refusal.UNKNOWN_EVENT, None),
        (b'{"channel":"ohlc","data":[]}', Refusal.UNKNOWN_EVENT, None),
        (b'{"channel":"book","type":"update","data":{}}', Refusal.WRONG_TYPE, None),
        (book("update", "1.0 1.0", "", 1, symbol="XRP/USD"), Refusal.UNKNOWN_SYMBOL, None),
        (book("update", "1.0 1.0", "", '"1"'), Refusal.WRONG_TYPE, BTC),
        (book("update", "1.0 1.0", "", 1, time=""), Refusal.BAD_TIME, BTC),
        (book("update", "1.0 1.0", "", 1, time=',"timestamp":"2023-10-06T17:35:55"'), Refusal.WRONG_TYPE, BTC),
        (book("replace", "1.0 1.0", "", 1), Refusal.UNKNOWN_EVENT, BTC),
        (book("update", "-1.0 1.0", "", 1), Refusal.BAD_PRICE, BTC),
        (book("update", "1.0 -1.0", "", 1), Refusal.BAD_QUANTITY, BTC),
        (book("update", "1.0 1e999", "", 1), Refusal.NOT_A_NUMBER, BTC),
        (book("update", '"1.0" 1.0', "", 1), Refusal.NOT_A_NUMBER, BTC),
        (book("update", "true 1.0", "", 1), Refusal.NOT_A_NUMBER, BTC),
        (book("snapshot", "2.0 1.0", "1.0 1.0", 1), Refusal.CROSSED_BOOK, BTC),
        (parts("trade", trade(-1)), Refusal.BAD_UPDATE_IDS, None),
        (parts("trade", trade(1, price="1e999")), Refusal.NOT_A_NUMBER, None),
        (parts("trade", trade(1, side="bid")), Refusal.WRONG_TYPE, None),
        (parts("status", '{"system":1}'), Refusal.WRONG_TYPE, None),
    ],
)
def test_rubbish(message: bytes, reason: Refusal, of_book: str | None) -> None:
    assert refusal(message) == (reason, of_book)


@pytest.mark.parametrize("text", [b"", b"rubbish", b'{"channel":"book","type":"upd', b"\xff"])
def test_what_may_have_been_an_update_of_any_book_costs_all(text: bytes) -> None:
    events = venue().decode(text)
    assert [(event.error.reason, event.error.book_symbol) for event in events if type(event) is Refused] == [
        (Refusal.NOT_JSON, BTC),
        (Refusal.NOT_JSON, ETH),
    ]


def test_messages_of_a_symbol_that_was_followed() -> None:
    made = venue()
    made.follow([ETH])
    for message in (book("update", "1.0 1.0", "", 1), parts("trade", trade(1))):
        with pytest.raises(Unfollowed):
            made.decode(message)


@given(st.binary(max_size=200) | st.from_regex(rb'\{"channel":"(book|trade)","data":\[\{.{0,60}', fullmatch=True))
def test_whatever_comes_is_decoded_or_refused(message: bytes) -> None:
    with suppress(Rejected):
        venue().decode(message)

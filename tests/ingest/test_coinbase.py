"""Coinbase's dialect: what is accepted, and what is refused; a change that cannot be read costs the book."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.book_sync import BookSync
from ingest.events import (
    DELISTED,
    HALTED,
    TRADING,
    BookSnapshot,
    ControlReply,
    Depth,
    Diff,
    Notice,
    Refused,
    Rejected,
    SymbolRules,
    Ticker,
    Trade,
    Unfollowed,
)
from ingest.venue import Snapshots, Venue
from ingest.venues import load
from tickfence.instrument import Instrument
from tickfence.monitoring.ingest_metrics import Refusal

BTC, ETH = Instrument("coinbase:BTC-USD"), Instrument("coinbase:ETH-EUR")
TIME, TIME_MS = "2026-08-25T03:35:57.300999Z", 1787628957300

UPDATE = {
    "type": "l2update",
    "product_id": "BTC-USD",
    "changes": [["buy", "80688.08", "0.5"], ["sell", "80745.16", "0.2"], ["buy", "80688.08", "0.00000000"]],
    "time": TIME,
}
SNAPSHOT = {"type": "snapshot", "product_id": "BTC-USD", "bids": [["10", "1"]], "asks": [["11.5", "2"]]}
MATCH = {
    "type": "match",
    "trade_id": 1081862675,
    "side": "sell",
    "size": "0.00000001",
    "price": "80691.53",
    "product_id": "BTC-USD",
    "sequence": 134905860111,
    "time": TIME,
}
TICKER = {
    "type": "ticker",
    "product_id": "BTC-USD",
    "price": "110",
    "open_24h": "100",
    "volume_24h": "94381.28",
    "low_24h": "99",
    "high_24h": "111.5",
    "time": TIME,
}
PRODUCT = {
    "id": "BTC-USD",
    "base_currency": "BTC",
    "quote_currency": "USD",
    "quote_increment": "0.01",
    "base_increment": "0.00000001",
    "status": "online",
    "trading_disabled": False,
    "status_message": "",
}
RULES = SymbolRules("0.01", "0.00000001", TRADING, "BTC", "USD")


def venue() -> Venue:
    made = load("coinbase")
    made.follow([BTC, ETH])
    return made


def message(body: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({key: value for key, value in {**body, **changes}.items() if value is not ...}).encode()


def test_changes_of_a_book_keep_their_order() -> None:
    assert venue().decode(message(UPDATE)) == (
        Diff(BTC, TIME_MS, 0, 0, [(80688.08, 0.5), (80688.08, 0.0)], [(80745.16, 0.2)]),
    )


@pytest.mark.parametrize(("time", "time_ms"), [(..., 0), (TIME, TIME_MS)])
def test_a_snapshot(time: Any, time_ms: int) -> None:
    expected = BookSnapshot(BTC, time_ms, Depth(0, [(10.0, 1.0)], [(11.5, 2.0)]))
    assert venue().decode(message(SNAPSHOT, time=time)) == (expected,)


def test_a_level_without_quantity_is_none() -> None:
    levels = {"bids": [["10", "1"], ["12", "0"], ["13", "0.00000000"]], "asks": [["11.5", "2"], ["9", "0"]]}
    [snapshot] = venue().decode(message(SNAPSHOT | levels))
    assert type(snapshot) is BookSnapshot
    sync = BookSync(BTC, Snapshots.STREAM)
    assert sync.on_snapshot(snapshot, 0)
    assert (sync.book.best_bid, sync.book.best_ask) == ((10.0, 1.0), (11.5, 2.0))


def test_the_side_of_a_match_is_the_makers() -> None:
    bought = Trade(BTC, TIME_MS, 1081862675, "80691.53", "0.00000001", True)
    assert venue().decode(message(MATCH)) == (bought,)
    assert venue().decode(message(MATCH, type="last_match")) == (bought,)
    [sold] = venue().decode(message(MATCH, side="buy"))
    assert type(sold) is Trade
    assert not sold.is_buy


def test_a_ticker() -> None:
    assert venue().decode(message(TICKER)) == (Ticker(BTC, "110", "10.000", "111.5", "99", "94381.28"),)
    [fallen] = venue().decode(message(TICKER, price="99.5"))
    assert type(fallen) is Ticker
    assert fallen.change_pct == "-0.500"
    [untraded] = venue().decode(message(TICKER, open_24h="0"))
    assert type(untraded) is Ticker
    assert untraded.change_pct == "0"


def test_messages_without_an_event() -> None:
    heartbeat = {"type": "heartbeat", "sequence": 90, "last_trade_id": 20, "product_id": "BTC-USD", "time": TIME}
    channels = [{"name": "level2_50", "product_ids": ["BTC-USD"], "account_ids": None}]
    assert venue().decode(message(heartbeat)) == ()
    assert venue().decode(message({"type": "subscriptions", "channels": channels})) == ()


def test_a_refusal_may_name_its_product() -> None:
    made = venue()
    error = {"type": "error", "message": "Failed to subscribe", "reason": "BTC-USD is not a valid product"}
    reply = ControlReply("Failed to subscribe: BTC-USD is not a valid product", None, made.streams(BTC))
    assert made.decode(message(error)) == (reply,)
    assert made.decode(message(error, reason=...)) == (ControlReply("Failed to subscribe"),)
    assert made.decode(message(error, reason="rate limit exceeded")) == (
        ControlReply("Failed to subscribe: rate limit exceeded", later=True),
    )
    refused = "You need to specify at least one product ID for channel heartbeat"
    assert made.decode(message(error, message="Failed to unsubscribe", reason=refused)) == (
        Notice(f"Failed to unsubscribe: {refused}"),
    )


def test_one_request_for_a_product() -> None:
    """One that is not valid makes the exchange ignore the whole message."""
    made = venue()
    streams = [*made.streams(BTC), *made.streams(ETH)]
    found = made.requests(True, streams, 1)
    assert [about for _, about in found] == [made.streams(BTC), made.streams(ETH)]
    for (text, _), product in zip(found, ("BTC-USD", "ETH-EUR"), strict=True):
        names = ("matches", "level2_batch", "ticker", "heartbeat")
        channels = [{"name": name, "product_ids": [product]} for name in names]
        assert json.loads(text) == {"type": "subscribe", "channels": channels}
    [(text, _)] = made.requests(False, [made.book_stream(ETH)], 2)
    channels = [{"name": "level2_batch", "product_ids": ["ETH-EUR"]}]
    assert json.loads(text) == {"type": "unsubscribe", "channels": channels}


@pytest.mark.parametrize(
    ("body", "changes", "reason", "of_book"),
    [
        (UPDATE, {"time": ...}, Refusal.WRONG_TYPE, BTC),
        (UPDATE, {"time": "2026-08-25T03:35:57"}, Refusal.WRONG_TYPE, BTC),
        (UPDATE, {"time": "1969-08-25T03:35:57Z"}, Refusal.BAD_TIME, BTC),
        (UPDATE, {"changes": ...}, Refusal.WRONG_TYPE, BTC),
        (UPDATE, {"changes": [["hold", "1", "1"]]}, Refusal.WRONG_TYPE, BTC),
        (UPDATE, {"changes": [["buy", 1, 1]]}, Refusal.WRONG_TYPE, BTC),
        (UPDATE, {"changes": [["buy", "-1", "1"]]}, Refusal.BAD_PRICE, BTC),
        (UPDATE, {"changes": [["sell", "1", "-1"]]}, Refusal.BAD_QUANTITY, BTC),
        (UPDATE, {"changes": [["sell", "1", "inf"]]}, Refusal.NOT_A_NUMBER, BTC),
        (UPDATE, {"product_id": "XRP-USD"}, Refusal.UNKNOWN_SYMBOL, None),
        (SNAPSHOT, {"bids": ...}, Refusal.WRONG_TYPE, BTC),
        (SNAPSHOT, {"bids": [["12", "1"]]}, Refusal.CROSSED_BOOK, BTC),
        (MATCH, {"side": "bid"}, Refusal.WRONG_TYPE, None),
        (MATCH, {"price": "0"}, Refusal.BAD_PRICE, None),
        (MATCH, {"size": "1e5"}, Refusal.NOT_A_NUMBER, None),
        (TICKER, {"open_24h": "NaN"}, Refusal.NOT_A_NUMBER, None),
        ({"type": "full"}, {}, Refusal.UNKNOWN_EVENT, None),
        ({"type": "full", "product_id": "BTC-USD"}, {}, Refusal.UNKNOWN_EVENT, None),
        ({"product_id": "BTC-USD"}, {}, Refusal.WRONG_TYPE, BTC),
    ],
)
def test_rubbish(body: dict[str, Any], changes: dict[str, Any], reason: Refusal, of_book: str | None) -> None:
    with pytest.raises(Rejected) as caught:
        venue().decode(message(body, **changes))
    assert (caught.value.reason, caught.value.book_symbol) == (reason, of_book)


@pytest.mark.parametrize("text", [b"", b"rubbish", b'{"type":"l2update","chan', b"[" * 20_000, b"{}"])
def test_what_may_have_been_a_change_of_any_book_costs_all(text: bytes) -> None:
    events = venue().decode(text)
    assert [event.error.book_symbol for event in events if type(event) is Refused] == [BTC, ETH]


def test_half_a_change_costs_its_book() -> None:
    with pytest.raises(Rejected) as caught:
        venue().decode(message(UPDATE)[:-4])
    assert (caught.value.reason, caught.value.book_symbol) == (Refusal.NOT_JSON, BTC)


def test_messages_of_a_symbol_that_was_followed() -> None:
    made = venue()
    made.follow([ETH])
    for body in (UPDATE, SNAPSHOT, MATCH, TICKER):
        with pytest.raises(Unfollowed):
            made.decode(message(body))


def test_trades_of_the_past() -> None:
    made = venue()
    request = made.trades_request(BTC, 70, 5)
    assert request is not None
    assert (request.path, request.query) == ("/products/BTC-USD/trades", {"after": "75", "limit": "5"})
    found = [
        {"time": TIME, "trade_id": number, "price": "10.00000000", "size": "0.01000000", "side": side}
        for number, side in ((74, "buy"), (73, "sell"))
    ]
    trades = made.decode_trades(BTC, json.dumps(found).encode())
    assert [(trade.trade_id, trade.is_buy) for trade in trades] == [(73, True), (74, False)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, RULES),
        ({"status": "offline"}, RULES._replace(status=HALTED)),
        ({"status": "delisted"}, RULES._replace(status=DELISTED)),
        ({"trading_disabled": True}, RULES._replace(status=HALTED)),
        ({"cancel_only": True}, RULES._replace(status=HALTED)),
        ({"post_only": True}, RULES._replace(status=HALTED)),
        ({"auction_mode": True}, RULES._replace(status=HALTED)),
        ({"quote_increment": "0"}, RULES._replace(tick_size="")),
    ],
)
def test_rules(changes: dict[str, Any], expected: SymbolRules) -> None:
    assert venue().decode_info(message(PRODUCT, **changes)).symbols == {BTC: expected}


def test_a_product_that_is_not_listed() -> None:
    made = venue()
    request = made.info_request([Instrument("coinbase:BTC/USD")])
    assert request is not None
    assert request.path == "/products/BTC%2FUSD"
    assert made.refuses_symbol(404, b'{"message":"NotFound"}')
    assert not made.refuses_symbol(404, b"<html>")
    assert not made.refuses_symbol(429, b'{"message":"Public rate limit exceeded"}')

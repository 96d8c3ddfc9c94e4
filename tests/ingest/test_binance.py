"""Decoding: what is accepted, and every kind of rubbish refused with its reason."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ingest.events import ControlReply, Depth, Diff, Event, Rejected, Shutdown, SymbolRules, Ticker, Trade
from ingest.venues.binance import Binance
from tickfence.monitoring.ingest_metrics import Refusal

DEPTH: dict[str, Any] = {
    "e": "depthUpdate",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "U": 157,
    "u": 160,
    "b": [["0.00240000", "10.5"], ["0.0023", "0"]],
    "a": [["0.0026", "100"]],
}
TRADE: dict[str, Any] = {
    "e": "trade",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "t": 12345,
    "p": "0.001",
    "q": "100",
    "T": 1672515782135,
    "m": True,
    "M": True,
}
TICKER: dict[str, Any] = {
    "e": "24hrTicker",
    "E": 1672515782136,
    "s": "BTCUSDT",
    "P": "-2.50",
    "c": "0.0025",
    "h": "0.0026",
    "l": "0.0010",
    "v": "10000",
}
STREAM = {"depthUpdate": "btcusdt@depth@100ms", "trade": "btcusdt@trade", "24hrTicker": "btcusdt@ticker"}

exchange = Binance(["BTCUSDT", "ETHUSDT"])


def combined(data: dict[str, Any], stream: str | None = None, **changes: Any) -> bytes:
    data = {key: value for key, value in {**data, **changes}.items() if value is not ...}
    return json.dumps({"stream": stream or STREAM[data.get("e", "trade")], "data": data}).encode()


def event(message: bytes) -> Event:
    [found] = exchange.decode(message)
    return found


def refusal(message: bytes) -> tuple[Refusal, str | None]:
    with pytest.raises(Rejected) as caught:
        exchange.decode(message)
    return caught.value.reason, caught.value.book_symbol


def test_a_diff() -> None:
    assert event(combined(DEPTH)) == Diff(
        "BTCUSDT", 1672515782136, 157, 160, [(0.0024, 10.5), (0.0023, 0.0)], [(0.0026, 100.0)]
    )


def test_a_trade_whose_buyer_is_the_maker_was_a_sale() -> None:
    assert event(combined(TRADE)) == Trade("BTCUSDT", 1672515782135, 12345, "0.001", "100", False)
    assert event(combined(TRADE, m=False)).is_buy  # type: ignore[union-attr]


def test_a_ticker() -> None:
    assert event(combined(TICKER)) == Ticker("BTCUSDT", "0.0025", "-2.50", "0.0026", "0.0010", "10000")


@pytest.mark.parametrize("zero", ["0", "0.00000000"])
def test_zero_is_a_value_of_a_ticker(zero: str) -> None:
    message = combined(TICKER, **dict.fromkeys("Pchlv", zero))
    assert event(message) == Ticker("BTCUSDT", zero, zero, zero, zero, zero)
    assert event(combined(TICKER, h=zero)) == Ticker("BTCUSDT", "0.0025", "-2.50", zero, "0.0010", "10000")


@pytest.mark.parametrize("text", ["", "-1", "1e5", "NaN", "\u0661", "9" * 400])
@pytest.mark.parametrize("field", ["c", "h", "l", "v"])
def test_a_ticker_needs_plain_decimals(field: str, text: str) -> None:
    reason, book = refusal(combined(TICKER, **{field: text}))
    assert reason in (Refusal.NOT_A_NUMBER, Refusal.BAD_PRICE, Refusal.BAD_QUANTITY)
    assert book is None


@pytest.mark.parametrize("text", ["", "-", "--1", "+1", "NaN", "1e5", "-" + "9" * 400])
def test_the_change_of_a_ticker_is_a_signed_decimal(text: str) -> None:
    assert refusal(combined(TICKER, P=text)) == (Refusal.NOT_A_NUMBER, None)


@pytest.mark.parametrize(
    "message",
    [
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
        b'{"e":"serverShutdown","E":1770123456789}',
    ],
)
def test_the_announcement_of_a_shutdown(message: bytes) -> None:
    assert event(message) == Shutdown()


def test_replies_to_control_messages() -> None:
    assert event(b'{"result":null,"id":1}') == ControlReply(None, 1)
    assert event(b'{"code":2,"msg":"Invalid request","id":1}') == ControlReply("2 Invalid request", 1)
    assert event(b'{"error":{"code":2,"msg":"too many"},"id":1}') == ControlReply("2 too many", 1)


@pytest.mark.parametrize("message", [b"", b"rubbish", b"{", b"\xff\xfe\x00", b'{"stream":"btcusdt@trade","data":{"e":'])
def test_not_json(message: bytes) -> None:
    assert refusal(message) == (Refusal.NOT_JSON, None)


NESTED = b"[" * 20_000 + b"]" * 20_000


@pytest.mark.parametrize(
    "message",
    [
        b'{"z":' + NESTED + b"}",
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","b":' + NESTED + b"}}",
    ],
)
def test_json_that_is_nested_too_deeply(message: bytes) -> None:
    assert refusal(message) == (Refusal.NOT_JSON, None)


def test_a_wrong_type_before_what_is_nested_too_deeply() -> None:
    message = b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","U":"1"},"z":' + NESTED + b"}"
    assert refusal(message) == (Refusal.WRONG_TYPE, None)


@pytest.mark.parametrize("body", [b"<html>", b'{"lastUpdateId":7,"bids":[["\xff","1"]]', b'{"z":' + NESTED + b"}"])
def test_answers_that_are_not_json(body: bytes) -> None:
    for decode in (exchange.decode_depth, exchange.decode_info):
        with pytest.raises(Rejected) as caught:
            decode(body)
        assert caught.value.reason is Refusal.NOT_JSON


@pytest.mark.parametrize("body", [b"[]", b'{"symbols":5}', b'{"lastUpdateId":"7"}'])
def test_answers_of_another_shape(body: bytes) -> None:
    for decode in (exchange.decode_depth, exchange.decode_info):
        with pytest.raises(Rejected) as caught:
            decode(body)
        assert caught.value.reason is Refusal.WRONG_TYPE


PAST: dict[str, Any] = {"id": 7, "price": "0.5", "qty": "2", "time": 1672515782135, "isBuyerMaker": False}


def test_trades_of_the_past_come_in_the_order_of_their_ids() -> None:
    body = json.dumps([PAST | {"id": 8, "isBuyerMaker": True}, PAST]).encode()
    first, second = (Trade("BTCUSDT", 1672515782135, number, "0.5", "2", number == 7) for number in (7, 8))
    assert exchange.decode_trades("BTCUSDT", body) == [first, second]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", Refusal.NOT_JSON),
        (b'{"code":-1121,"msg":"Invalid symbol."}', Refusal.WRONG_TYPE),
        (json.dumps([PAST | {"id": "7"}]).encode(), Refusal.WRONG_TYPE),
        (json.dumps([PAST | {"id": -1}]).encode(), Refusal.BAD_UPDATE_IDS),
        (json.dumps([PAST, PAST | {"price": "0.0"}]).encode(), Refusal.BAD_PRICE),
        (json.dumps([PAST | {"qty": "1e3"}]).encode(), Refusal.NOT_A_NUMBER),
        (json.dumps([PAST | {"time": 1672515782135000}]).encode(), Refusal.BAD_TIME),
    ],
)
def test_trades_of_the_past_that_cannot_be(body: bytes, reason: Refusal) -> None:
    with pytest.raises(Rejected) as caught:
        exchange.decode_trades("BTCUSDT", body)
    assert caught.value.reason is reason


@pytest.mark.parametrize("message", [b"[]", b"5", b"null", b'"text"', b'{"stream":5,"data":{"e":"trade"}}'])
def test_json_of_another_shape(message: bytes) -> None:
    assert refusal(message) == (Refusal.WRONG_TYPE, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"U": "157"},
        {"U": 157.5},
        {"U": None},
        {"u": ...},
        {"E": "now"},
        {"s": 5},
        {"b": None},
        {"b": {}},
        {"b": "[]"},
        {"b": [[0.0024, 10]]},
        {"b": [["0.0024", 10]]},
        {"b": [["0.0024"]]},
        {"b": [["0.0024", "10", "1"]]},
        {"b": [["0.00.24", "10"]]},
        {"b": [["", "10"]]},
        {"a": [["1_000", "10"]]},
        {"a": [["1e999", "10"]]},
        {"a": [None]},
    ],
)
def test_wrong_types_in_a_diff_cost_the_book(changes: dict[str, Any]) -> None:
    assert refusal(combined(DEPTH, **changes)) == (Refusal.WRONG_TYPE, "BTCUSDT")


@pytest.mark.parametrize("number", ["NaN", "nan", "Infinity", "-Infinity", "inf"])
def test_numbers_that_are_none(number: str) -> None:
    assert refusal(combined(DEPTH, b=[[number, "1"]])) == (Refusal.NOT_A_NUMBER, "BTCUSDT")
    assert refusal(combined(DEPTH, a=[["1", number]])) == (Refusal.NOT_A_NUMBER, "BTCUSDT")
    assert refusal(combined(TRADE, p=number)) == (Refusal.NOT_A_NUMBER, None)
    assert refusal(combined(TRADE, q=number)) == (Refusal.NOT_A_NUMBER, None)
    assert refusal(combined(TICKER, c=number)) == (Refusal.NOT_A_NUMBER, None)
    assert refusal(combined(TICKER, P=number)) == (Refusal.NOT_A_NUMBER, None)


def test_bare_nan_is_not_json() -> None:
    assert refusal(combined(DEPTH).replace(b'"0.00240000"', b"NaN"))[1] in (None, "BTCUSDT")
    assert refusal(combined(TRADE).replace(b'"0.001"', b"NaN"))[0] in (Refusal.NOT_JSON, Refusal.WRONG_TYPE)


@pytest.mark.parametrize("price", ["0", "-1", "-0.00000001", "0.00000000"])
def test_prices_that_cannot_be(price: str) -> None:
    assert refusal(combined(DEPTH, b=[["1", "1"], [price, "1"]])) == (Refusal.BAD_PRICE, "BTCUSDT")
    assert refusal(combined(TRADE, p=price)) == (Refusal.BAD_PRICE, None)


def test_quantities_that_cannot_be() -> None:
    assert refusal(combined(DEPTH, a=[["1", "-1"]])) == (Refusal.BAD_QUANTITY, "BTCUSDT")
    assert refusal(combined(TRADE, q="-1")) == (Refusal.BAD_QUANTITY, None)
    assert refusal(combined(TRADE, q="0")) == (Refusal.BAD_QUANTITY, None)


@pytest.mark.parametrize("text", ["1e5", " 1", "1_0", "٣", "0x10", "+1", "1,5", ".5", ""])
def test_a_trade_needs_plain_decimals(text: str) -> None:
    assert refusal(combined(TRADE, p=text)) == (Refusal.NOT_A_NUMBER, None)


@pytest.mark.parametrize(("first", "last"), [(161, 160), (0, 5), (-3, -2), (1, 2**63)])
def test_update_ids_that_cannot_be(first: int, last: int) -> None:
    assert refusal(combined(DEPTH, U=first, u=last)) == (Refusal.BAD_UPDATE_IDS, "BTCUSDT")


@pytest.mark.parametrize("time", [0, -1, 1672515782136000])
def test_times_that_are_no_milliseconds(time: int) -> None:
    assert refusal(combined(DEPTH, E=time)) == (Refusal.BAD_TIME, "BTCUSDT")
    assert refusal(combined(TRADE, T=time)) == (Refusal.BAD_TIME, None)


def test_symbols_we_did_not_ask_for() -> None:
    assert refusal(combined(TRADE, stream="dogeusdt@trade", s="DOGEUSDT")) == (Refusal.UNKNOWN_SYMBOL, None)
    assert refusal(combined(DEPTH, stream="dogeusdt@depth@100ms", s="DOGEUSDT")) == (Refusal.UNKNOWN_SYMBOL, None)
    # On a stream of ours, somebody else's diff stands where one of ours should.
    assert refusal(combined(DEPTH, s="ETHUSDT")) == (Refusal.UNKNOWN_SYMBOL, "BTCUSDT")
    assert refusal(combined(TRADE, stream="btcusdt@ticker")) == (Refusal.UNKNOWN_SYMBOL, None)


def test_events_we_did_not_ask_for() -> None:
    assert refusal(combined(TRADE, stream="btcusdt@trade", e="kline")) == (Refusal.UNKNOWN_EVENT, None)
    assert refusal(combined(DEPTH, stream="btcusdt@depth@100ms", e="kline")) == (Refusal.UNKNOWN_EVENT, "BTCUSDT")
    assert refusal(b'{"stream":"btcusdt@trade"}') == (Refusal.UNKNOWN_EVENT, None)
    assert refusal(b"{}") == (Refusal.UNKNOWN_EVENT, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([DEPTH, TRADE, TICKER]),
    st.dictionaries(st.sampled_from(["e", "E", "s", "U", "u", "b", "a", "t", "p", "q", "T", "m", "c"]), json_values),
)
def test_whatever_comes_is_an_event_or_refused(event: dict[str, Any], changes: dict[str, Any]) -> None:
    message = json.dumps({"stream": STREAM[event["e"]], "data": {**event, **changes}}).encode()
    try:
        [decoded] = exchange.decode(message)
    except Rejected:
        return
    if isinstance(decoded, Diff):
        assert all(price > 0 and quantity >= 0 for price, quantity in decoded.bids + decoded.asks)


@given(st.binary(max_size=200))
def test_whatever_bytes_come_are_refused(message: bytes) -> None:
    with pytest.raises(Rejected):
        exchange.decode(message)


def test_depth() -> None:
    body = b'{"lastUpdateId":7,"bids":[["2","1"],["1","1"]],"asks":[["3","1"]]}'
    assert exchange.decode_depth(body) == Depth(7, [(2.0, 1.0), (1.0, 1.0)], [(3.0, 1.0)])


def test_a_depth_cut_short_tells_how_far_it_reaches() -> None:
    many = Binance([f"S{number}" for number in range(1_000)])
    assert many.depth_request("S1").query["limit"] == "100"
    levels = [[str(100 + n), "1"] for n in range(100)]
    asks = [[str(1_000 + n), "1"] for n in range(100)]
    depth = many.decode_depth(json.dumps({"lastUpdateId": 7, "bids": levels, "asks": asks}).encode())
    assert (depth.lowest_bid, depth.highest_ask) == (100.0, 1_099.0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{}", Refusal.WRONG_TYPE),
        (b'{"lastUpdateId":7,"bids":[["3","1"]],"asks":[["3","1"]]}', Refusal.CROSSED_BOOK),
        (b'{"lastUpdateId":7,"bids":[["nan","1"]],"asks":[]}', Refusal.NOT_A_NUMBER),
        (b'{"lastUpdateId":7,"bids":[[3,1]],"asks":[]}', Refusal.WRONG_TYPE),
        (b'{"lastUpdateId":0,"bids":[],"asks":[]}', Refusal.BAD_UPDATE_IDS),
    ],
)
def test_a_depth_that_cannot_be(body: bytes, reason: Refusal) -> None:
    with pytest.raises(Rejected) as caught:
        exchange.decode_depth(body)
    assert caught.value.reason is reason


def test_symbol_rules_and_weight_limit() -> None:
    symbol = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001"},
        ],
    }
    limits = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    ]
    info = exchange.decode_info(json.dumps({"rateLimits": limits, "symbols": [symbol]}).encode())
    assert info.symbols == {"BTCUSDT": ("0.01", "0.00001", "trading", "BTC", "USDT")}
    assert info.request_weight == 1200


def rules(status: str = "TRADING", **filters: dict[str, str]) -> SymbolRules:
    symbol = {"symbol": "BTCUSDT", "status": status, "filters": [{"filterType": k} | v for k, v in filters.items()]}
    return exchange.decode_info(json.dumps({"symbols": [symbol]}).encode()).symbols["BTCUSDT"]


@pytest.mark.parametrize("text", ["0.00000000", "0", "", "-1", "none", "1e-5"])
def test_a_size_that_is_none_hides_nothing_else(text: str) -> None:
    assert rules(PRICE_FILTER={"tickSize": text}, LOT_SIZE={"stepSize": "0.1"}) == SymbolRules("", "0.1", "trading")
    assert rules(PRICE_FILTER={"tickSize": "0.1"}, LOT_SIZE={"stepSize": text}) == SymbolRules("0.1", "", "trading")


def test_filters_that_are_not_there() -> None:
    assert rules() == SymbolRules("", "", "trading")


@pytest.mark.parametrize(
    "word", ["HALT", "BREAK", "AUCTION_MATCH", "PRE_TRADING", "POST_TRADING", "END_OF_DAY", "NEW_WORD", ""]
)
def test_only_trading_is_trading(word: str) -> None:
    assert rules(word).status == "halted"


@pytest.mark.parametrize(
    ("body", "unlisted"),
    [
        (b'{"code":-1121,"msg":"Invalid symbol."}', True),
        (b'{"code":-1100,"msg":"Illegal characters found in parameter \'symbol\'."}', True),
        (b'{"code":-1001,"msg":"Internal error; unable to process your request."}', False),
        (b'{"symbols":[]}', False),
        (b"<html>400 Bad Request</html>", False),
        (b"", False),
    ],
)
def test_which_refusal_is_about_the_symbol(body: bytes, unlisted: bool) -> None:
    assert Binance().refuses_symbol(400, body) is unlisted
    assert not Binance().refuses_symbol(403, body)


def test_rules_are_asked_for_by_name() -> None:
    assert exchange.info_request(["BTCUSDT"]).query["symbol"] == "BTCUSDT"
    assert exchange.info_request(["BTCUSDT", "币安人生USDT"]).query["symbols"] == '["BTCUSDT","币安人生USDT"]'


def test_few_symbols_get_deep_books_and_all_start_within_a_minute() -> None:
    for count, weight in ((6, 50), (90, 50), (190, 25), (1_000, 5)):
        request = Binance([f"S{number}" for number in range(count)]).depth_request("S1")
        assert request.weight == weight
        assert request.weight * count <= Binance.limits.request_weight[0]


@st.composite
def nearly_right(draw: st.DrawFn) -> bytes:
    """A message of a diff or a trade with some of its parts replaced by others."""
    text = combined(draw(st.sampled_from([DEPTH, TRADE]))).decode()
    parts = re.findall(r'"[^"]*"|[\[\]{},:]|[^"\[\]{},:]+', text)
    odd = ["", '"1"', "1.0", "-1", "true", '"true"', "null", '"inf"', '"1e5"', '"x":1,', '"u":160,', "[", "]", '"q"']
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(parts) - 1))
        parts[place] = draw(st.sampled_from([*odd, *parts]) | st.just(parts[place] * 2))
    return "".join(parts).encode()


@given(nearly_right())
@settings(max_examples=600, deadline=None)
def test_the_quick_way_takes_nothing_that_the_careful_one_refuses(message: bytes) -> None:
    assume(message.count(b'"m"') < 2)  # of a key given twice the last one counts
    quick = exchange._plain(message)
    if quick is not None:
        assert quick == exchange._checked(message)


@pytest.mark.parametrize("message", [DEPTH, TRADE, TICKER])
def test_usual_messages_go_the_quick_way(message: dict[str, Any]) -> None:
    assert exchange._plain(combined(message)) == exchange._checked(combined(message))


def test_a_key_given_twice_hides_no_bare_number() -> None:
    message = combined(DEPTH).replace(b'"E":', b'"E":1,"E":').replace(b'"100"', b"100")
    assert refusal(message) == (Refusal.WRONG_TYPE, "BTCUSDT")


@pytest.mark.parametrize(
    "changes",
    [{"m": 1}, {"m": "true"}, {"m": 5}, {"t": "5"}, {"t": 5.5}, {"T": "5"}, {"p": 0.001}, {"q": 100}],
    ids=str,
)
def test_wrong_types_in_a_trade(changes: dict[str, Any]) -> None:
    assert refusal(combined(TRADE, **changes))[0] is Refusal.WRONG_TYPE

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.simulator import control, protocol
from tools.simulator.market import Diff, Market, Trade
from tools.simulator.rate_limit import BAN_SECONDS, REFUSALS_BEFORE_BAN, WeightLimit
from tools.simulator.symbols import Instrument, instrument

instruments = st.builds(
    Instrument,
    st.just("XYUSDT"),
    st.just("XY"),
    st.just("USDT"),
    tick_decimals=st.integers(0, 8),
    step_decimals=st.integers(0, 8),
    start_ticks=st.just(5000),
    level_steps=st.just(100),
)
units = st.integers(0, 10**12)


@given(one=instruments, ticks=units, steps=units)
def test_decimals_are_exact_and_have_eight_places(one: Instrument, ticks: int, steps: int) -> None:
    encode = protocol.Encoder(one)
    for text, number, decimals in (
        (encode.price(ticks), ticks, one.tick_decimals),
        (encode.quantity(steps), steps, one.step_decimals),
    ):
        assert Decimal(text) == Decimal(number).scaleb(-decimals)
        assert len(text.split(".")[1]) == 8


@given(one=instruments, bids=st.dictionaries(units, units, max_size=5), asks=st.dictionaries(units, units, max_size=5))
def test_a_depth_update_has_the_exchange_fields_best_prices_first(
    one: Instrument, bids: dict[int, int], asks: dict[int, int]
) -> None:
    encode = protocol.Encoder(one)
    event = json.loads(encode.depth_update(1700000000123, Diff(7, 9, bids, asks)))
    assert event == {
        "e": "depthUpdate",
        "E": 1700000000123,
        "s": "XYUSDT",
        "U": 7,
        "u": 9,
        "b": [[encode.price(p), encode.quantity(bids[p])] for p in sorted(bids, reverse=True)],
        "a": [[encode.price(p), encode.quantity(asks[p])] for p in sorted(asks)],
    }


@pytest.mark.parametrize("maker", [True, False])
def test_a_trade_has_the_exchange_fields(maker: bool) -> None:
    encode = protocol.Encoder(instrument("BTCUSDT"))
    assert json.loads(encode.trade(1700000000123, Trade(42, 670_001, 12_345, maker))) == {
        "e": "trade",
        "E": 1700000000123,
        "s": "BTCUSDT",
        "t": 42,
        "p": "67000.10000000",
        "q": "0.12345000",
        "T": 1700000000123,
        "m": maker,
        "M": True,
    }


def test_the_ticker_agrees_with_the_market() -> None:
    market = Market(instrument("ADAUSDT"), 3)
    for _ in range(200):
        market.step()
    encode = protocol.Encoder(market.instrument)
    event = json.loads(encode.ticker(1700000000123, market))
    assert set(event) == set("eEspPwxcQbBaAohlvqOCFLn")
    assert event["c"] == encode.price(market.last_price)
    assert (event["b"], event["a"]) == (encode.price(market.bids.best), encode.price(market.asks.best))
    assert Decimal(event["l"]) <= Decimal(event["c"]) <= Decimal(event["h"])
    assert Decimal(event["l"]) <= Decimal(event["w"]) <= Decimal(event["h"])
    assert Decimal(event["p"]) == Decimal(event["c"]) - Decimal(event["o"])
    rest = encode.ticker_24hr(1700000000123, market)
    assert (rest["lastPrice"], rest["volume"], rest["priceChangePercent"]) == (event["c"], event["v"], event["P"])


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_000])
def test_a_frame_is_one_unmasked_text_frame(size: int) -> None:
    framed = protocol.frame(b"x" * size)
    assert framed[0] == 0x81
    short = framed[1]
    length, start = {126: (int.from_bytes(framed[2:4]), 4), 127: (int.from_bytes(framed[2:10]), 10)}.get(
        short, (short, 2)
    )
    assert length == size
    assert framed[start:] == b"x" * size
    assert (short < 126) == (size < 126)
    assert (short == 127) == (size >= 65_536)


@pytest.mark.parametrize(
    ("text", "code", "words", "request_id"),
    [
        ("{", 3, "Invalid JSON", None),
        ("[]", 2, "expected an object", None),
        ('{"id":1}', 2, "missing field `method`", 1),
        ('{"method":"BUY","id":"a"}', 2, "unknown variant `BUY`", "a"),
        ('{"method":"SUBSCRIBE","params":[],"id":1.5}', 2, "request ID", None),
        ('{"method":"SUBSCRIBE","params":[],"id":"%s"}' % ("x" * 37), 2, "request ID", None),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2, "params", 1),
        ('{"method":"SUBSCRIBE","params":["btcusdt"],"id":1}', 2, "invalid stream", 1),
        ('{"method":"SUBSCRIBE","params":["BTCUSDT@trade"],"id":1}', 2, "invalid stream", 1),
        ('{"method":"GET_PROPERTY","params":[],"id":1}', 2, "property name", 1),
        ('{"method":"GET_PROPERTY","params":["color"],"id":1}', 0, "Unknown property", 1),
        ('{"method":"GET_PROPERTY","params":["combined",true],"id":1}', 2, "too many parameters", 1),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "expected Boolean", 1),
    ],
)
def test_a_bad_control_message_gets_the_exchange_error(text: str, code: int, words: str, request_id: object) -> None:
    with pytest.raises(control.ControlError) as error:
        control.parse(text)
    reply = json.loads(error.value.reply())
    assert reply["error"]["code"] == code
    assert words in reply["error"]["msg"]
    assert reply["id"] == request_id


@given(st.binary(max_size=60))
def test_any_bytes_are_a_control_message_or_a_control_error(data: bytes) -> None:
    try:
        control.parse(data)
    except control.ControlError as error:
        assert json.loads(error.reply())["error"]["msg"]


def test_weight_beyond_the_minute_is_refused_until_the_next_one() -> None:
    limit = WeightLimit(100)
    assert limit.spend("a", 60, 1200.0).status == 200
    refused = limit.spend("a", 60, 1210.0)
    assert (refused.status, refused.used) == (429, 60)
    assert 50 <= refused.retry_after <= 51
    assert limit.spend("a", 40, 1210.0).status == 200
    assert limit.spend("b", 100, 1210.0).status == 200
    assert limit.spend("a", 100, 1210.0 + refused.retry_after).status == 200


def test_who_goes_on_after_many_refusals_is_banned_for_a_while() -> None:
    limit = WeightLimit(1)
    statuses = [limit.spend("a", 2, 1200.0).status for _ in range(REFUSALS_BEFORE_BAN + 1)]
    assert statuses == [429] * REFUSALS_BEFORE_BAN + [418]
    assert limit.spend("a", 1, 1200.0 + BAN_SECONDS - 1).status == 418
    assert limit.spend("a", 1, 1200.0 + BAN_SECONDS + 1).status == 200

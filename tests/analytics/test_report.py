"""The report: a worked example by hand, the oracle on random states, and what is left out."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.fast_report import fast_report
from tickfence.analytics import report, slow_cycle
from tickfence.analytics.book import BookGap
from tickfence.analytics.symbol_state import NotPublishable, SymbolState, Ticker24h

NOW = 1_700_000_000_123


def state(bids=((99.0, 3.0),), asks=((101.0, 1.0),), received=NOW - 100, ahead=0, tick_size=None) -> SymbolState:
    result = SymbolState("BTCUSDT", tick_size)
    result.load_snapshot(100, bids, asks, received)
    result.apply_diff(100, 100, [], [], received, NOW + ahead)
    return result


def built(of: SymbolState, now: int = NOW) -> dict:
    return json.loads(report.build(of, now, "node-001", 7), parse_constant=pytest.fail)


def test_worked_example():
    example = state()
    example.add_trades([NOW - 20_000, NOW - 5_000], [100.0, 99.0], [0.7, 0.1], [True, False], NOW - 50)
    example.ticker = Ticker24h(98.0, -1.5, 110.0, 90.0, 1234.5, NOW - 60_000)
    result = built(example)
    assert result == {
        "schemaVersion": "2.0",
        "writer": {"nodeId": "node-001", "writerToken": 7},
        "updatedAt": NOW,
        "symbol": "BTCUSDT",
        "venue": "binance",
        "generated_at": "2023-11-14T22:13:20.123Z",
        "data_age_ms": 50,
        "ingestion": {"status": "ok", "fresh": True, "exchange_time": NOW, "last_update": NOW - 50},
        "last_price": 99.0,
        "change_24h_pct": -1.5,
        "high_24h": 110.0,
        "low_24h": 90.0,
        "volume_24h": 1234.5,
        "best_bid": {"price": 99.0, "qty": 3.0},
        "best_ask": {"price": 101.0, "qty": 1.0},
        "spread_bps": 200.0,
        "mid_price": 100.0,
        "micro_price": 100.5,
        "depth": {
            "bids": [{"price": 99.0, "qty": 3.0}],
            "asks": [{"price": 101.0, "qty": 1.0}],
            "total_bid_qty": 3.0,
            "total_ask_qty": 1.0,
            "imbalance": 0.5,
        },
        "flow": {"window_sec": 30, "orders_per_sec": 0.1, "net_flow": 0.6},
        "health": {
            "score": 50.0,
            "components": [
                {"metric": "freshness", "score": 40.0},
                {"metric": "spread", "score": 0.0},
                {"metric": "depth_balance", "score": 10.0},
                {"metric": "anomalies", "score": 0.0},
            ],
        },
    }
    assert list(result) == [field for field in report.Report.__struct_encode_fields__ if field in result]


def test_venue_base_and_quote_are_told():
    example = SymbolState("kraken:BTC/USD")
    example.load_snapshot(100, [(99.0, 3.0)], [(101.0, 1.0)], NOW - 100)
    result = built(example)
    assert (result["symbol"], result["venue"]) == ("kraken:BTC/USD", "kraken")
    assert "base" not in result and "quote" not in result, "the listing is not known yet"
    example.base, example.quote = "BTC", "USD"
    result = built(example)
    assert (result["base"], result["quote"]) == ("BTC", "USD")


def test_numbers_are_rounded_as_defined():
    result = built(state([(3.0, 1.0), (2.0, 0.1), (1.0, 0.2)], [(4.0, 2.0)]))
    assert result["spread_bps"] == 2857.1429
    assert result["micro_price"] == 3.33333333333333, "15 digits, while the tick size is unknown"
    assert result["depth"]["total_bid_qty"] == 1.3
    assert result["depth"]["imbalance"] == -0.2121


PRICE = st.integers(1, 60).map(float)
QUANTITY = st.sampled_from([1e-8, 0.1, 1.0, 7.5, 1e9])
LEVELS = st.dictionaries(PRICE, QUANTITY, max_size=30)
TRADES = st.lists(
    st.tuples(
        st.one_of(st.integers(-40_000, 200), st.sampled_from([-30_000, -29_999, -10_000, -9_999, 0, 1])),
        PRICE,
        QUANTITY,
        st.booleans(),
    ).map(lambda trade: (NOW + trade[0], *trade[1:])),
    max_size=30,
)
TICKERS = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {
            "last": st.one_of(st.just(0.0), PRICE),
            "change_pct": st.floats(-100, 1e6),
            "high": st.one_of(st.just(0.0), PRICE),
            "low": st.one_of(st.just(0.0), PRICE),
            "volume": st.floats(0, 1e15),
            "received_ms": st.sampled_from([-60_001, -60_000, 0, 60_000, 60_001]).map(lambda age: NOW - age),
        }
    ),
)
AGES = st.one_of(st.integers(-50, 5000), st.sampled_from([0, 299, 300, 999, 1000, 1999, 2000]))


def close(value, expected, path=""):
    """Equal, but for floats: equal to 9 digits or to the last decimal that the report shows."""
    if isinstance(expected, dict):
        assert value.keys() == expected.keys(), path
        for key in expected:
            close(value[key], expected[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(value) == len(expected), path
        for index, item in enumerate(expected):
            close(value[index], item, f"{path}[{index}]")
    elif isinstance(expected, float):
        decimals = 0.2 if "health" in path else 1e-4 if path.endswith("imbalance") else 1e-6
        if path.endswith("_bps"):
            decimals = min(1e-4, 1e-5 * expected)
        if path.endswith("_price"):
            decimals = 0.0
        assert value == pytest.approx(expected, rel=1e-9, abs=decimals), path
    else:
        assert value == expected, path


LAGS = st.one_of(st.integers(-5000, 5000), st.sampled_from([-1, 0, 1, 1999, 2000, 2001]))


AHEAD = st.sampled_from([0, -15_000, 15_000, -1, 3_600_000])
COVERED = st.sampled_from([None, -1, 0, 9_999, 10_000, 10_001, 29_999, 30_000, 12_345])
TICK_SIZES = st.sampled_from([None, "1", "0.01", "0.00000001", "0.000000000001", "0.25", "100000000"])


@given(LEVELS, LEVELS, TRADES, TICKERS, AGES, LAGS, AHEAD, COVERED, TICK_SIZES)
def test_report_equals_the_oracle(bids, asks, trades, ticker, age, lag, ahead, covered, tick_size):
    tick = Decimal(tick_size or 1)
    bids = {float(tick * int(price)): quantity for price, quantity in bids.items()}
    asks = {float(tick * int(100 + price)): quantity for price, quantity in asks.items()}
    trades = [(time + ahead, price, quantity, is_buy) for time, price, quantity, is_buy in trades]
    known_after = 0 if covered is None else NOW + ahead - covered
    fast = state(bids.items(), asks.items(), NOW - age, ahead, tick_size and float(tick_size))
    fast.ticker = Ticker24h(**ticker) if ticker else None
    fast.trades.complete_after_ms = known_after
    fast.add_trades(*([trade[column] for trade in trades] for column in range(4)), received_ms=NOW - age + lag)
    result = built(fast)
    del result["generated_at"]
    times = (NOW - age, NOW, "node-001", 7, NOW - age + lag, NOW + ahead, known_after)
    close(result, fast_report(bids, asks, trades, ticker, *times, tick_size))


@pytest.mark.parametrize(("bids", "asks"), [((), ((101.0, 1.0),)), (((99.0, 1.0),), ()), ((), ())])
def test_fields_that_need_both_sides_are_left_out_of_a_one_sided_book(bids, asks):
    result = built(state(bids, asks))
    assert not {"spread_bps", "mid_price", "micro_price"} & result.keys()
    assert "imbalance" not in result["depth"]
    assert ("best_bid" in result, "best_ask" in result) == (bool(bids), bool(asks))
    assert result["ingestion"]["status"] == "degraded"
    assert built(state(bids, asks), NOW + 5000)["ingestion"]["status"] == "down"


@pytest.mark.parametrize(
    ("age", "status"), [(-250, "ok"), (0, "ok"), (999, "ok"), (1000, "degraded"), (1999, "degraded"), (2000, "down")]
)
def test_status_and_age_follow_the_newest_data(age, status):
    result = built(state(received=NOW - age))
    fresh = {"fresh": status == "ok", "exchange_time": NOW}
    assert result["ingestion"] == {"status": status, **fresh, "last_update": NOW - age}
    assert result["data_age_ms"] == max(0, age)


def test_data_from_a_clock_that_was_ahead_tells_no_age_until_the_next_data():
    hour = 3_600_000
    example = state(received=NOW + 251)
    example.add_trades([NOW], [100.0], [1.0], [True], NOW + hour)
    result = built(example)
    assert result["ingestion"] == {"status": "down", "fresh": False, "exchange_time": NOW}
    assert "data_age_ms" not in result
    assert built(example, NOW + hour)["ingestion"]["status"] == "down", "it is not new when that time comes"
    example.apply_diff(101, 101, [], [], NOW + hour - 50, NOW)
    assert built(example, NOW + hour)["data_age_ms"] == 50


@pytest.mark.parametrize("step", [3_600_000, -3_600_000])
def test_after_a_clock_was_set_the_next_data_tells_the_age(step):
    example = state(received=NOW)
    example.add_trades([NOW], [100.0], [1.0], [True], NOW)
    now = NOW + step
    example.apply_diff(101, 101, [], [], now - 40, NOW)
    assert (built(example, now)["data_age_ms"], example.book_stopped) == (40, False)
    example.add_trades([NOW], [100.0], [1.0], [True], now - 30)
    assert built(example, now)["data_age_ms"] == 30


def test_a_book_of_unknown_age_is_not_fresh_because_trades_come():
    example = state(received=NOW + 3_600_000)
    example.add_trades([NOW], [100.0], [1.0], [True], NOW - 10)
    assert built(example)["ingestion"]["status"] == "down"


def test_older_trades_change_no_age():
    example = state(received=NOW - 100)
    example.add_trades([NOW], [100.0], [1.0], [True], NOW - 20)
    example.add_trades([NOW - 60_000], [100.0], [1.0], [True], None)
    assert built(example)["data_age_ms"] == 20


def test_a_report_is_as_old_as_a_book_that_has_stopped():
    example = state(received=NOW - 1500)
    for lag, status, last_update in ((2000, "ok", NOW + 500), (2001, "down", NOW - 1500), (9000, "down", NOW - 1500)):
        now = NOW - 1500 + lag
        example.add_trades([now], [99.0], [1.0], [False], now)
        result = built(example, now)
        assert result["ingestion"]["status"] == status
        assert result["ingestion"]["last_update"] == last_update
        assert result["ingestion"]["fresh"] == (status == "ok")
        assert result["data_age_ms"] == now - last_update
        assert (result["health"]["components"][0]["score"] > 0) == (status == "ok")
        assert result["last_price"] == 99.0
    assert example.apply_diff(101, 101, [(99.0, 1.0)], [], now + 10) is True
    found = {"status": "ok", "fresh": True, "exchange_time": now + 10}
    assert built(example, now + 20)["ingestion"] == {**found, "last_update": now + 10}


def test_trades_against_a_book_that_has_stopped_are_no_anomaly():
    example = state(received=NOW)
    trades = [NOW + 500 * place for place in range(1, 7)]
    example.add_trades(trades, [99.0] * 6, [1.0] * 6, [False] * 6, trades[-1])
    later = trades[-1] + 100
    assert json.loads(slow_cycle.run(example, later))["anomalies"], "what it would look like"
    stopped = built(example, later)
    assert "anomalies" not in stopped
    assert "liquidity" in stopped
    assert stopped["health"]["components"][3] == {"metric": "anomalies", "score": 0.0}
    example.load_snapshot(200, [(98.0, 1.0)], [(99.0, 1.0)], later)
    assert "anomalies" in built(example, later)


def test_no_trade_in_a_window_that_is_covered_is_a_flow_of_zero():
    assert built(state())["flow"] == {"window_sec": 30, "orders_per_sec": 0.0, "net_flow": 0.0}
    assert "last_price" not in built(state())


@pytest.mark.parametrize(
    ("covered_ms", "flow"),
    [
        (-5_000, {"window_sec": 0}),
        (0, {"window_sec": 0}),
        (9_999, {"window_sec": 9}),
        (10_000, {"window_sec": 10, "orders_per_sec": 0.2}),
        (29_999, {"window_sec": 29, "orders_per_sec": 0.2}),
        (30_000, {"window_sec": 30, "orders_per_sec": 0.2, "net_flow": 3.0}),
        (10**9, {"window_sec": 30, "orders_per_sec": 0.2, "net_flow": 3.0}),
    ],
)
def test_a_flow_over_a_window_that_is_not_covered_is_left_out(covered_ms, flow):
    example = state(received=NOW)
    example.add_trades([NOW - 8_000, NOW - 2_000], [99.0, 99.0], [1.0, 2.0], [True, True], NOW)
    example.trades.complete_after_ms = NOW - covered_ms
    assert built(example)["flow"] == flow


@pytest.mark.parametrize("ahead", [0, -15_000, 15_000, -1_000, 3_600_000])
def test_windows_are_those_of_the_exchange_whatever_the_clock_here(ahead):
    example = state(received=NOW, ahead=ahead)
    times = [NOW + ahead - age for age in (29_000, 9_000, 100)]
    example.add_trades(times, [99.0] * 3, [1.0] * 3, [False] * 3, NOW)
    result = built(example, NOW + 50)
    assert result["flow"] == {"window_sec": 30, "orders_per_sec": 0.2, "net_flow": -3.0}
    assert result["ingestion"]["exchange_time"] == NOW + ahead
    assert built(example, NOW + 1_001)["flow"] == result["flow"], "what was traded since is not known"
    example.apply_diff(101, 101, [(99.0, 2.0)], [], NOW + 1_001, NOW + ahead + 1_001)
    assert built(example, NOW + 1_001)["flow"]["net_flow"] == -2.0


def test_the_exchanges_time_follows_its_newest_diff():
    example = SymbolState("BTCUSDT")
    example.load_snapshot(100, [(99.0, 1.0)], [(101.0, 1.0)], NOW)
    assert built(example)["ingestion"]["exchange_time"] == NOW, "as here, before the first diff"
    example.apply_diff(101, 101, [(99.0, 2.0)], [], NOW + 10, NOW - 990)
    example.apply_diff(102, 102, [(99.0, 3.0)], [], NOW + 20, NOW - 480)
    assert built(example, NOW + 120)["ingestion"]["exchange_time"] == NOW - 480
    assert built(example, 100)["ingestion"]["exchange_time"] == NOW - 480, "though the clock here was set back"


@pytest.mark.parametrize(
    ("tick_size", "bid", "ask", "mid", "micro"),
    [
        (1e-8, 0.00000002, 0.00000003, 2.5e-8, 2.75e-8),
        (1e-12, 1e-12, 2e-12, 1.5e-12, 1.75e-12),
        (0.01, 1e9, 1_000_000_000.01, 1_000_000_000.005, 1_000_000_000.0075),
        (0.01, 60_000.0, 60_000.03, 60_000.015, 60_000.0225),
        (0.3, 0.3, 0.6, 0.45, 0.525),
        (1000.0, 7_000.0, 8_000.0, 7_500.0, 7_750.0),
        (None, 0.00000002, 0.00000003, 2.5e-8, 2.75e-8),
        (None, 1e9, 1_000_000_000.01, 1_000_000_000.005, 1_000_000_000.0075),
    ],
)
def test_computed_prices_have_two_decimals_more_than_the_tick(tick_size, bid, ask, mid, micro):
    result = built(state([(bid, 3.0)], [(ask, 1.0)], tick_size=tick_size))
    assert result["mid_price"] == mid
    assert result["micro_price"] == pytest.approx(micro, rel=1e-15, abs=0.0)
    assert result["spread_bps"] == pytest.approx((ask - bid) / result["mid_price"] * 1e4, rel=1e-5)


def test_the_micro_price_is_rounded_by_the_tick_size():
    example = state([(0.3, 1.0)], [(0.4, 2.0)], tick_size=0.1)
    assert built(example)["micro_price"] == 0.333
    example.tick_size = 0.001
    assert built(example)["micro_price"] == 0.33333


@pytest.mark.parametrize("age", [60_001, -60_001, 86_400_000])
def test_24_h_statistics_that_are_old_are_left_out(age):
    example = state()
    example.ticker = Ticker24h(98.0, 1.0, 99.0, 97.0, 5.0, NOW - age)
    assert not {"last_price", "change_24h_pct", "high_24h", "low_24h", "volume_24h"} & built(example).keys()


def test_zeros_of_a_day_without_trades_are_values_but_for_prices():
    example = state()
    example.ticker = Ticker24h(0.0, 0.0, 0.0, 0.0, 0.0, NOW)
    result = built(example)
    assert (result["change_24h_pct"], result["volume_24h"]) == (0.0, 0.0)
    assert not {"last_price", "high_24h", "low_24h"} & result.keys()


@pytest.mark.parametrize("trading", ["trading", "halted", "delisted"])
def test_the_trading_status_is_shown(trading):
    example = state()
    assert "trading" not in built(example)["ingestion"]
    example.trading = trading
    assert built(example)["ingestion"]["trading"] == trading
    example.trading = "AUCTION_MATCH"
    assert "trading" not in built(example)["ingestion"], "an exchange's own word is none of ours"


def test_last_price_is_the_newest_trade_or_else_the_ticker():
    example = state()
    example.ticker = Ticker24h(last=98.0, received_ms=NOW)
    result = built(example)
    assert result["last_price"] == 98.0
    assert not {"change_24h_pct", "high_24h", "low_24h", "volume_24h"} & result.keys()
    example.add_trades([NOW - 10, NOW - 20], [100.0, 99.0], [1.0, 1.0], [True, True], NOW)
    assert built(example)["last_price"] == 100.0


def test_a_negative_zero_or_a_number_that_is_none_never_gets_in():
    example = state(received=NOW)
    example.ticker = Ticker24h(math.nan, -0.0, math.inf, -1.0, math.nan, NOW)
    example.add_trades([NOW - 3, NOW - 2, NOW - 1], [1.0] * 3, [0.1, 0.2, 0.3], [True, True, False], NOW)
    text = report.build(example, NOW, "node-001", 1)
    assert b"-0.0" not in text
    result = json.loads(text)
    assert result["change_24h_pct"] == 0.0
    assert result["flow"]["net_flow"] == 0.0
    assert not {"high_24h", "low_24h", "volume_24h"} & result.keys()


def test_quantities_too_large_to_add_leave_their_sums_out():
    result = built(state([(99.0, 1.7e308), (98.0, 1.7e308)], [(101.0, 1.7e308)]))
    assert not {"total_bid_qty", "imbalance"} & result["depth"].keys()
    assert result["health"]["components"][2] == {"metric": "depth_balance", "score": 0.0}


def test_no_report_of_a_book_with_a_gap_or_crossed_or_never_loaded():
    with pytest.raises(NotPublishable, match="not in sync"):
        built(SymbolState("BTCUSDT"))
    crossed = state([(101.0, 1.0)], [(101.0, 1.0)])
    with pytest.raises(NotPublishable, match="cross"):
        built(crossed)
    gapped = state()
    with pytest.raises(BookGap):
        gapped.apply_diff(102, 103, [], [], NOW)
    with pytest.raises(NotPublishable, match="not in sync"):
        built(gapped)


def test_diffs_reach_the_report_and_its_age():
    example = state(received=NOW - 5000)
    assert example.apply_diff(101, 102, [(99.5, 2.0)], [], NOW - 30) is True
    assert example.apply_diff(101, 102, [(99.9, 2.0)], [], NOW) is False
    result = built(example)
    assert result["best_bid"] == {"price": 99.5, "qty": 2.0}
    assert result["data_age_ms"] == 30

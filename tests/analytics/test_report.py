"""The report: a worked example by hand, the oracle on random states, and what is left out."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.fast_report import fast_report
from tickfence.analytics import report, slow_cycle
from tickfence.analytics.book import BookGap
from tickfence.analytics.symbol_state import NotPublishable, SymbolState, Ticker24h

NOW = 1_700_000_000_123


def state(bids=((99.0, 3.0),), asks=((101.0, 1.0),), received=NOW - 100) -> SymbolState:
    result = SymbolState("BTCUSDT")
    result.load_snapshot(100, bids, asks, received)
    return result


def built(of: SymbolState, now: int = NOW) -> dict:
    return json.loads(report.build(of, now, "node-001", 7), parse_constant=pytest.fail)


def test_worked_example():
    example = state()
    example.add_trades([NOW - 20_000, NOW - 5_000], [100.0, 99.0], [0.7, 0.1], [True, False], NOW - 50)
    example.ticker = Ticker24h(98.0, -1.5, 110.0, 90.0, 1234.5)
    result = built(example)
    assert result == {
        "schemaVersion": "1.1",
        "writer": {"nodeId": "node-001", "writerToken": 7},
        "updatedAt": NOW,
        "symbol": "BTCUSDT",
        "venue": "binance",
        "generated_at": "2023-11-14T22:13:20.123Z",
        "data_age_ms": 50,
        "ingestion": {"status": "ok", "last_update": NOW - 50},
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
        "flow": {"orders_per_sec": 0.1, "net_flow": 0.6},
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


def test_numbers_are_rounded_as_defined():
    result = built(state([(3.0, 1.0), (2.0, 0.1), (1.0, 0.2)], [(4.0, 2.0)]))
    assert result["spread_bps"] == 2857.1429
    assert result["micro_price"] == 3.33333333
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
        {"last": PRICE, "change_pct": st.floats(-100, 1e6), "high": PRICE, "low": PRICE, "volume": st.floats(0, 1e15)}
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
        decimals = 0.2 if "health" in path else 1e-4 if path.endswith(("_bps", "imbalance")) else 1e-6
        assert value == pytest.approx(expected, rel=1e-9, abs=decimals), path
    else:
        assert value == expected, path


LAGS = st.one_of(st.integers(-5000, 5000), st.sampled_from([-1, 0, 1, 1999, 2000, 2001]))


@given(LEVELS, LEVELS, TRADES, TICKERS, AGES, LAGS)
def test_report_equals_the_oracle(bids, asks, trades, ticker, age, lag):
    asks = {100.0 + price: quantity for price, quantity in asks.items()}
    fast = state(bids.items(), asks.items(), NOW - age)
    fast.ticker = Ticker24h(**ticker) if ticker else None
    fast.add_trades(*([trade[column] for trade in trades] for column in range(4)), received_ms=NOW - age + lag)
    result = built(fast)
    del result["generated_at"]
    close(result, fast_report(bids, asks, trades, ticker, NOW - age, NOW, "node-001", 7, NOW - age + lag))


@pytest.mark.parametrize(("bids", "asks"), [((), ((101.0, 1.0),)), (((99.0, 1.0),), ()), ((), ())])
def test_fields_that_need_both_sides_are_left_out_of_a_one_sided_book(bids, asks):
    result = built(state(bids, asks))
    assert not {"spread_bps", "mid_price", "micro_price"} & result.keys()
    assert "imbalance" not in result["depth"]
    assert ("best_bid" in result, "best_ask" in result) == (bool(bids), bool(asks))
    assert result["ingestion"]["status"] == "degraded"
    assert built(state(bids, asks), NOW + 5000)["ingestion"]["status"] == "down"


@pytest.mark.parametrize(
    ("age", "status"), [(-500, "ok"), (0, "ok"), (999, "ok"), (1000, "degraded"), (1999, "degraded"), (2000, "down")]
)
def test_status_and_age_follow_the_newest_data(age, status):
    result = built(state(received=NOW - age))
    assert result["ingestion"] == {"status": status, "last_update": NOW - age}
    assert result["data_age_ms"] == max(0, age)


def test_a_report_is_as_old_as_a_book_that_has_stopped():
    example = state(received=NOW - 1500)
    for lag, status, last_update in ((2000, "ok", NOW + 500), (2001, "down", NOW - 1500), (9000, "down", NOW - 1500)):
        now = NOW - 1500 + lag
        example.add_trades([now], [99.0], [1.0], [False], now)
        result = built(example, now)
        assert result["ingestion"] == {"status": status, "last_update": last_update}
        assert result["data_age_ms"] == now - last_update
        assert (result["health"]["components"][0]["score"] > 0) == (status == "ok")
        assert result["last_price"] == 99.0
    assert example.apply_diff(101, 101, [(99.0, 1.0)], [], now + 10) is True
    assert built(example, now + 20)["ingestion"] == {"status": "ok", "last_update": now + 10}


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


def test_flow_is_left_out_while_no_trade_is_known():
    assert "flow" not in built(state())
    assert "last_price" not in built(state())


def test_last_price_is_the_newest_trade_or_else_the_ticker():
    example = state()
    example.ticker = Ticker24h(last=98.0)
    result = built(example)
    assert result["last_price"] == 98.0
    assert not {"change_24h_pct", "high_24h", "low_24h", "volume_24h"} & result.keys()
    example.add_trades([NOW - 10, NOW - 20], [100.0, 99.0], [1.0, 1.0], [True, True], NOW)
    assert built(example)["last_price"] == 100.0


def test_a_negative_zero_or_a_number_that_is_none_never_gets_in():
    example = state(received=NOW)
    example.ticker = Ticker24h(math.nan, -0.0, math.inf, -1.0, math.nan)
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

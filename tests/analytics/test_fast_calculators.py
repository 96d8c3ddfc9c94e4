"""Spread, depth, flow and health: hand-made examples, exact arithmetic, window edges."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tickfence.analytics import flow, health, market
from tickfence.analytics.trade_window import TradeWindow

POSITIVE = st.one_of(st.floats(1e-8, 1e12), st.sampled_from([1e-8, 1.0, 1e12]))


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
@example(2.64, 7.45, 1.0, 1e-300)
def test_prices_equal_exact_arithmetic(one_price, other_price, bid_quantity, ask_quantity):
    bid, ask = sorted((one_price, other_price))
    b, a, bq, aq = (Fraction(number) for number in (bid, ask, bid_quantity, ask_quantity))
    assert market.mid_price(bid, ask) == pytest.approx(float((b + a) / 2), rel=1e-12)
    assert market.spread_bps(bid, ask) == pytest.approx(float((a - b) / ((a + b) / 2) * 10000), rel=1e-9, abs=1e-9)
    micro = market.micro_price(bid, bid_quantity, ask, ask_quantity)
    assert micro == pytest.approx(float((b * aq + a * bq) / (bq + aq)), rel=1e-12)
    assert bid <= micro <= ask


@given(st.lists(POSITIVE, max_size=20), st.lists(POSITIVE, max_size=20))
def test_depth_equals_exact_arithmetic(bid_quantities, ask_quantities):
    totals = []
    for quantities in (bid_quantities, ask_quantities):
        total = sum(quantities)
        assert total == pytest.approx(float(sum(map(Fraction, quantities))), rel=1e-12)
        totals.append(total)
    imbalance = market.imbalance(*totals)
    if not bid_quantities or not ask_quantities:
        assert imbalance is None
        return
    bid, ask = map(Fraction, totals)
    assert imbalance == pytest.approx(float((bid - ask) / (bid + ask)), rel=1e-9, abs=1e-12)
    assert -1 <= imbalance <= 1


def window(*trades: tuple[int, float, bool]) -> TradeWindow:
    result = TradeWindow()
    result.extend([t for t, _, _ in trades], [1.0] * len(trades), [q for _, q, _ in trades], [b for _, _, b in trades])
    return result


NOW = 1_700_000_000_000


@pytest.mark.parametrize(("age", "counted"), [(-1, 0), (0, 1), (9_999, 1), (10_000, 0)])
def test_orders_per_sec_counts_a_trade_on_the_edge_of_now_but_not_on_the_far_edge(age, counted):
    assert flow.orders_per_sec(window((NOW - age, 1.0, True)), NOW) == counted / 10


@pytest.mark.parametrize(("age", "counted"), [(-1, 0), (0, 1), (29_999, 1), (30_000, 0)])
def test_net_flow_counts_a_trade_on_the_edge_of_now_but_not_on_the_far_edge(age, counted):
    assert flow.net_flow(window((NOW - age, 2.0, False)), NOW) == -2.0 * counted


def test_flow_of_no_trades_is_zero():
    assert flow.orders_per_sec(window(), NOW) == 0.0
    assert flow.net_flow(window(), NOW) == 0.0


def test_net_flow_is_buys_minus_sells():
    assert flow.net_flow(window((NOW - 3, 5.0, True), (NOW - 2, 2.0, False), (NOW - 1, 1.0, False)), NOW) == 2.0


@pytest.mark.parametrize(
    ("age", "score"), [(None, 0.0), (0, 40.0), (300, 40.0), (1150, 20.0), (2000, 0.0), (10**15, 0.0)]
)
def test_freshness(age, score):
    assert health.freshness(age) == score


@pytest.mark.parametrize(
    ("bps", "score"), [(None, 0.0), (0.0, 30.0), (1.0, 30.0), (10.5, 15.0), (20.0, 0.0), (2e4, 0.0)]
)
def test_spread_score(bps, score):
    assert health.spread(bps) == score


@pytest.mark.parametrize(
    ("imbalance", "score"), [(None, 0.0), (0.0, 20.0), (0.5, 10.0), (-0.5, 10.0), (1.0, 0.0), (-1.0, 0.0)]
)
def test_depth_balance_score(imbalance, score):
    assert health.depth_balance(imbalance) == score


@pytest.mark.parametrize(
    ("severities", "score"),
    [
        (None, 0.0),
        ([], 10.0),
        (["low"], 7.5),
        (["medium"], 5.0),
        (["high"], 0.0),
        (["low", "medium"], 2.5),
        (["high"] * 3, 0.0),
    ],
)
def test_anomaly_score(severities, score):
    assert health.anomalies(severities) == score

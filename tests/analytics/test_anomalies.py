"""Spoofing, icebergs and flash-crash risk: by hand, at their thresholds, and against the oracles."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import anomalies
from tickfence.analytics.anomalies.flash_crash import flash_crash_risk
from tickfence.analytics.anomalies.iceberg import find_icebergs
from tickfence.analytics.anomalies.spoofing import find_spoofing
from tickfence.analytics.book import OrderBook
from tickfence.analytics.level_changes import LevelChanges, frequent
from tickfence.analytics.trade_window import TradeWindow

NOW = 1_700_000_000_000
BID, ASK = 99.0, 101.0
P95 = 100.0


def recorded(changes):
    log = LevelChanges()
    for time, side, price, before, after in changes:
        log.extend(np.array([[time, price if side == "bid" else -price, before, after]]).T)
    return log.between(NOW - 30_000, NOW)


def window(trades):
    result = TradeWindow()
    result.extend(*([trade[column] for trade in trades] for column in range(4)))
    return result


def chained(side, price, *steps):
    """(age, quantity) steps of one level as changes, the first step being what stood there."""
    return [(NOW - age, side, price, before, after) for (_, before), (age, after) in pairwise(steps) if before != after]


def spoofing(changes, trades=()):
    found = msgspec.to_builtins(find_spoofing(recorded(changes), window(trades), NOW, P95, BID, ASK))
    assert found == anomalies.spoofing(changes, list(trades), NOW, P95, BID, ASK)
    return found


FLICKER = [(29_000, 0.0), (20_000, 500.0), (18_000, 0.0), (12_000, 500.0), (10_000, 0.0), (6_000, 500.0), (4_000, 0.0)]


def test_an_order_placed_and_pulled_three_times_is_spoofing():
    assert spoofing(chained("bid", 90.0, *FLICKER)) == [
        {"type": "spoofing", "severity": "high", "side": "bid", "price": 90.0, "pulls": 3, "changes": 3}
    ]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(FLICKER[:-1], id="two pulls"),
        pytest.param([(age, quantity / 5.1) for age, quantity in FLICKER], id="not large"),
        pytest.param([(age + 12_000, quantity) for age, quantity in FLICKER], id="a pull is too old"),
        pytest.param([(9, 500.0), (8, 451.0), (7, 500.0), (6, 451.0), (5, 500.0), (4, 451.0)], id="falls too small"),
        pytest.param([*FLICKER, (3_000, 9.0), (2_000, 5.0)], id="pulled in 60 % of its changes"),
    ],
)
def test_what_is_no_spoofing(steps):
    assert spoofing(chained("bid", 90.0, *steps)) == []


@pytest.mark.parametrize(("price", "found"), [(94.0, 0), (93.0, 1), (100.0, 0)])
def test_spoofing_is_more_than_three_spreads_from_mid(price, found):
    assert len(spoofing(chained("bid", price, *FLICKER))) == found


@pytest.mark.parametrize(
    ("small", "severity"), [(0, "high"), (1, "high"), (2, "medium"), (3, "low"), (4, "low"), (5, None)]
)
def test_spoofing_severity_by_the_share_of_pulls(small, severity):
    # Ten pulls; the other changes are small ones of the small order that stays.
    steps = [(29_000, 1.0)]
    for pull in range(10):
        steps += [(28_000 - 2 * pull, 500.0), (27_999 - 2 * pull, 1.0)]
    steps += [(10_000 - step, 2.0 + step) for step in range(small)]
    found = spoofing(chained("ask", 200.0, *steps))
    assert [spoof["severity"] for spoof in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("traded", "is_buy", "age", "found"),
    [
        (249.0, False, 4_500, 1),
        (250.0, False, 4_500, 0),
        (500.0, True, 4_500, 1),
        (500.0, False, 6_000, 1),
        (500.0, False, 5_999, 0),
        (500.0, False, 4_000, 0),
        (500.0, False, 3_999, 1),
    ],
)
def test_what_was_traded_was_not_pulled(traded, is_buy, age, found):
    assert len(spoofing(chained("bid", 90.0, *FLICKER), [(NOW - age, 90.0, traded, is_buy)])) == found


@pytest.mark.parametrize(("traded", "found"), [(249.0, 1), (250.0, 0)])
def test_asks_are_traded_by_buys(traded, found):
    changes = chained("ask", 110.0, *FLICKER)
    assert len(spoofing(changes, [(NOW - 4_500, 110.0, traded, True)])) == found
    assert len(spoofing(changes, [(NOW - 4_500, 110.0, traded, False)])) == 1


def test_a_level_that_is_traded_too_often_is_no_spoofing():
    steps = [*FLICKER, (3_900, 500.0), (3_800, 0.0), (3_700, 500.0), (3_600, 0.0)]
    changes = chained("bid", 90.0, *steps)
    trade = (NOW - 3_800, 90.0, 500.0, False)
    assert [spoof["severity"] for spoof in spoofing(changes, [trade])] == ["medium"]
    assert spoofing(changes, [trade, (NOW - 3_600, 90.0, 500.0, False)]) == []


@pytest.mark.parametrize(
    ("quantities", "found"),
    [((100.0, 0.0), 1), ((99.9, 0.0), 0), ((500.0, 445.0), 1), ((500.0, 450.0), 0)],
)
def test_a_pull_takes_more_than_ten_percent_from_at_least_p95(quantities, found):
    steps = [(9_000 - place, quantity) for place, quantity in enumerate(quantities * 3)]
    assert len(spoofing(chained("bid", 90.0, *steps))) == found


AGE = st.one_of(st.integers(-10, 31_000), st.sampled_from([0, 30_000, 29_999]))
STEPS = st.lists(st.tuples(AGE, st.sampled_from([0.0, 1.0, 90.0, 99.0, 100.0, 111.0, 500.0])), min_size=2, max_size=14)
HISTORY = st.lists(
    st.tuples(st.sampled_from(["bid", "ask"]), st.sampled_from([90.0, 93.0, 94.0, 100.0, 106.0, 107.5]), STEPS),
    max_size=4,
    unique_by=lambda level: level[:2],
)
TRADES = st.lists(
    st.tuples(
        AGE.map(lambda age: NOW - age),
        st.sampled_from([90.0, 93.0, 107.5]),
        st.sampled_from([1.0, 5.0, 55.5, 250.0, 1e9]),
        st.booleans(),
    ),
    max_size=30,
)


def as_changes(history):
    changes = []
    for side, price, steps in history:
        changes += chained(side, price, *sorted(steps, key=lambda step: -step[0]))
    return sorted(changes, key=lambda change: change[0])


@given(HISTORY, TRADES)
def test_spoofing_equals_the_oracle(history, trades):
    spoofing(as_changes(history), trades)


def icebergs(changes, trades, bids=(), asks=()):
    book = OrderBook()
    book.load(1, bids, asks)
    found = msgspec.to_builtins(find_icebergs(recorded(changes), window(trades), NOW, book))
    expected = anomalies.icebergs(changes, list(trades), NOW, dict(bids), dict(asks))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.pop("traded_qty") == pytest.approx(other.pop("traded_qty"), rel=1e-9, abs=1e-8)
        assert one == other
    return found


def trades_at(price, count, is_buy, apart=1):
    return [(NOW - 10_000 + number * apart, price, 2.0, is_buy) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "severity"),
    [(4, None), (5, "low"), (9, "low"), (10, "medium"), (19, "medium"), (20, "high"), (300, "high")],
)
def test_iceberg_severity_by_trades(count, severity):
    found = icebergs([], trades_at(99.0, count, is_buy=False), bids=[(99.0, 3.0)])
    expected = {"type": "iceberg", "severity": severity, "side": "bid", "price": 99.0, "trades": count}
    assert found == ([{**expected, "visible_qty": 3.0}] if severity else [])


@pytest.mark.parametrize(
    ("quantities", "found"), [((110.0, 90.0), 1), ((111.0,), 0), ((89.0, 100.0), 0), ((0.0, 100.0), 0), ((100.0,), 1)]
)
def test_an_iceberg_stays_within_ten_percent_of_what_it_showed(quantities, found):
    steps = [(20_000, 100.0), *((9_000 - place, quantity) for place, quantity in enumerate(quantities))]
    changes = chained("ask", 101.0, *steps)
    assert len(icebergs(changes, trades_at(101.0, 6, is_buy=True, apart=1000), asks=[(101.0, quantities[-1])])) == found


def test_what_happened_before_the_first_trade_does_not_count():
    changes = chained("ask", 101.0, (20_000, 5.0), (10_000, 100.0), (5_000, 101.0))
    assert len(icebergs(changes, trades_at(101.0, 6, is_buy=True), asks=[(101.0, 101.0)])) == 1


def test_a_level_that_is_not_there_or_is_hit_from_the_other_side_is_no_iceberg():
    assert icebergs([], trades_at(99.0, 9, is_buy=False), asks=[(99.0, 3.0)]) == []


@given(HISTORY, TRADES, st.lists(st.sampled_from([90.0, 93.0, 107.5]), unique=True), st.integers(0, 3))
def test_icebergs_equal_the_oracle(history, trades, levels, repeats):
    everything = trades * (1 + repeats)
    bids = [(price, 100.0) for price in levels if price < 100]
    asks = [(price, 100.0) for price in levels if price > 100]
    icebergs(as_changes(history), everything, bids, asks)


@given(st.lists(st.integers(-3, 3).map(float), max_size=20), st.integers(2, 6))
def test_frequent_keys_are_those_that_are_there_often_enough(keys, least):
    assert frequent(np.array(keys), least).tolist() == sorted(key for key in set(keys) if keys.count(key) >= least)


SIGNAL_CASES = [
    (20.0, 0.0, False, None),
    (20.01, 0.3, False, None),
    (20.01, 0.31, False, "medium"),
    (20.01, -0.31, False, "medium"),
    (20.01, 0.0, True, "medium"),
    (5.0, -0.5, True, "medium"),
    (99.0, -0.5, True, "high"),
    (None, None, True, None),
]


@pytest.mark.parametrize(("spread_bps", "imbalance", "selling", "severity"), SIGNAL_CASES)
def test_flash_crash_risk_is_two_of_three_signals(spread_bps, imbalance, selling, severity):
    trades = window([(NOW - 1_000, 1.0, 1.0, False)] if selling else [])
    found = flash_crash_risk(spread_bps, imbalance, trades, NOW)
    assert (found and found.severity) == severity


SELLS = st.lists(
    st.tuples(
        st.one_of(st.integers(-5, 11_000), st.sampled_from([0, 4_999, 5_000, 9_999, 10_000])).map(
            lambda age: NOW - age
        ),
        st.just(1.0),
        st.sampled_from([1.0, 2.0, 0.5]),
        st.booleans(),
    ),
    max_size=12,
)


@given(st.one_of(st.none(), st.sampled_from([0.0, 20.0, 20.5])), st.one_of(st.none(), st.floats(-1, 1)), SELLS)
def test_flash_crash_risk_equals_the_oracle(spread_bps, imbalance, trades):
    found = flash_crash_risk(spread_bps, imbalance, window(trades), NOW)
    expected = anomalies.flash_crash_risk(spread_bps, imbalance, trades, NOW)
    assert (msgspec.to_builtins([found]) if found else []) == expected

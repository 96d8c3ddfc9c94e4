"""Spoofing, icebergs and flash-crash risk: by hand, at their thresholds, and against the oracles."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles import anomalies
from tickfence.analytics import market
from tickfence.analytics.anomalies.flash_crash import flash_crash_risk
from tickfence.analytics.anomalies.iceberg import find_icebergs
from tickfence.analytics.anomalies.spoofing import find_spoofing
from tickfence.analytics.book import OrderBook
from tickfence.analytics.level_changes import LevelChanges, frequent
from tickfence.analytics.trade_window import TradeWindow

NOW = 1_700_000_000_000
BID, ASK = 99.0, 101.0
P95 = 100.0


def recorded(changes, after_ms=NOW - 30_000):
    log = LevelChanges()
    for time, side, price, before, after in changes:
        log.extend(np.array([[time, price if side == "bid" else -price, before, after]]).T)
    return log.between(after_ms, NOW)


def window(trades):
    result = TradeWindow()
    result.extend(*([trade[column] for trade in trades] for column in range(4)))
    return result


def chained(side, price, *steps):
    """(age, quantity) steps of one level as changes, the first step being what stood there."""
    return [(NOW - age, side, price, before, after) for (_, before), (age, after) in pairwise(steps) if before != after]


def plain(found):
    """Findings without their notes, which the oracles do not know."""
    found = msgspec.to_builtins(found)
    assert all(anomaly.pop("note").endswith(".") for anomaly in found)
    return found


def spoofing(changes, trades=(), *, known_after=0, p95=P95, bid=BID, ask=ASK):
    after_ms = max(NOW - 30_000, known_after)
    found = plain(find_spoofing(recorded(changes, after_ms), window(trades), after_ms, p95, bid, ask))
    assert found == anomalies.spoofing(changes, list(trades), NOW, p95, bid, ask, known_after)
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


@given(HISTORY, TRADES, st.one_of(st.just(0), AGE.map(lambda age: NOW - age)))
def test_spoofing_equals_the_oracle(history, trades, known_after):
    spoofing(as_changes(history), trades, known_after=known_after)


@pytest.mark.parametrize(
    ("tick", "bid"), [("0.01", 9_999), ("0.01", 10**11), ("0.00000001", 3), ("0.1", 599_999), ("0.0001", 10_001)]
)
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_exactly_three_spreads_from_mid_is_not_far(tick, bid, side):
    """The spread is 2 ticks, so 3 spreads from mid are 6 ticks."""
    for away, expected in ((6, 0), (7, 1)):
        level = bid + 1 - away if side == "bid" else bid + 1 + away
        if level > 0:
            price, best_bid, best_ask = (float(Decimal(tick) * ticks) for ticks in (level, bid, bid + 2))
            assert len(spoofing(chained(side, price, *FLICKER), bid=best_bid, ask=best_ask)) == expected


@given(st.integers(1, 10**6), st.sampled_from(["0.00000001", "0.001", "0.1", "1", "7"]))
def test_exact_limits_of_a_pull_whatever_the_lot(lots, lot):
    """P95 is 10 x lots; a pull takes more than a tenth of at least that, and less than half of it was traded."""

    def pulled(before, after, traded=0):
        p95, had, has, took = (float(Decimal(lot) * number) for number in (10 * lots, before, after, traded))
        steps = [(9_000 - place, quantity) for place, quantity in enumerate((had, has) * 3)]
        trades = [(NOW - 9_000 + place, 90.0, took, False) for place in (1, 3, 5)] if took else []
        return len(spoofing(chained("bid", 90.0, *steps), trades, p95=p95))

    assert pulled(10 * lots, 0) == 1
    assert pulled(10 * lots - 1, 0) == 0
    assert pulled(10 * lots, 9 * lots) == 0
    assert pulled(10 * lots, 9 * lots - 1) == 1
    assert pulled(10 * lots, 0, 5 * lots) == 0
    assert pulled(10 * lots, 0, 5 * lots - 1) == (1 if lots else 0)


def icebergs(changes, trades, bids=(), asks=(), *, after_ms=NOW - 30_000, until_ms=NOW):
    book = OrderBook()
    book.load(1, bids, asks)
    found = plain(find_icebergs(recorded(changes, after_ms), window(trades), after_ms, until_ms, book))
    known = [change for change in changes if after_ms < change[0] <= NOW]
    expected = anomalies.icebergs(known, list(trades), after_ms, until_ms, dict(bids), dict(asks))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == other | {
            name: pytest.approx(other[name], rel=1e-9, abs=1e-8) for name in ("traded_qty", "refilled_qty")
        }
    return found


def trades_at(price, count, is_buy, apart=1, quantity=2.0):
    return [(NOW - 10_000 + number * apart, price, quantity, is_buy) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "severity"),
    [(4, None), (5, "low"), (9, "low"), (10, "medium"), (19, "medium"), (20, "high"), (300, "high")],
)
def test_iceberg_severity_by_trades(count, severity):
    found = icebergs([], trades_at(99.0, count, is_buy=False), bids=[(99.0, 3.0)])
    expected = {"type": "iceberg", "severity": severity, "side": "bid", "price": 99.0, "trades": count}
    quantities = {"traded_qty": 2.0 * count, "visible_qty": 3.0, "refilled_qty": 2.0 * count}
    assert found == ([{**expected, **quantities}] if severity else [])


def hit(price, count, quantity, *shown, apart=100):
    """Bids hit by trades of one quantity; after each trade a diff shows what is left."""
    trades = [(NOW - 20_000 + apart * number, price, quantity, False) for number in range(count)]
    steps = [(30_500, shown[0]), *((20_000 - apart * number - 10, left) for number, left in enumerate(shown[1:]))]
    return chained("bid", price, *steps), trades


def test_an_order_that_is_refilled_after_each_trade_is_an_iceberg():
    assert icebergs(*hit(99.0, 10, 5.0, *[5.0] * 11), bids=[(99.0, 5.0)]) == [
        {
            "type": "iceberg",
            "severity": "medium",
            "side": "bid",
            "price": 99.0,
            "trades": 10,
            "traded_qty": 50.0,
            "visible_qty": 5.0,
            "refilled_qty": 50.0,
        }
    ]


def test_a_tranche_that_is_seen_to_shrink_before_it_is_refilled_counts_once():
    shown = [10.0, 8.0, 6.0, 4.0, 2.0] * 10 + [10.0]
    (found,) = icebergs(*hit(99.0, 50, 2.0, *shown), bids=[(99.0, 10.0)])
    assert (found["traded_qty"], found["visible_qty"], found["refilled_qty"]) == (100.0, 10.0, 92.0)


def test_a_thick_level_that_falls_by_what_is_traded_is_no_iceberg():
    shown = [5_000_000.0 - 100 * number for number in range(21)]
    assert not icebergs(*hit(1.0, 20, 100.0, *shown), bids=[(1.0, shown[-1])])


def test_a_level_that_grows_first_and_then_falls_by_what_is_traded_is_no_iceberg():
    shown = [4_990_000.0, *(5_010_000.0 - 1000 * number for number in range(1, 21))]
    changes, trades = hit(1.0, 20, 1000.0, *shown)
    assert not icebergs(changes, trades, bids=[(1.0, shown[-1])])


def test_a_level_that_vanishes_has_declined_by_all_that_it_showed():
    assert not icebergs(*hit(99.0, 5, 2.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0))
    (found,) = icebergs(*hit(99.0, 50, 2.0, *[10.0] * 50, 0.0))
    assert found["refilled_qty"] == 90.0


def test_trades_that_the_book_does_not_show_yet_are_not_judged():
    trades = [(NOW - 50, 99.0, 1.0, False)] * 9
    assert icebergs([], trades, bids=[(99.0, 500.0)], until_ms=NOW - 60) == []


def test_a_diff_of_the_same_millisecond_shows_what_the_first_trade_took():
    trades = [(NOW - 9_000, 99.0, 1000.0, False), *((NOW - 8_000, 99.0, 1.0, False) for _ in range(4))]
    changes = chained("bid", 99.0, (30_000, 5000.0), (9_000, 4000.0), (7_900, 3996.0))
    assert icebergs(changes, trades, bids=[(99.0, 3996.0)]) == []


def test_only_what_is_covered_is_judged():
    changes, trades = hit(99.0, 10, 5.0, *[5.0] * 11)
    assert icebergs(changes, trades, bids=[(99.0, 5.0)], after_ms=NOW - 19_600)[0]["trades"] == 5
    assert icebergs(changes, trades, bids=[(99.0, 5.0)], after_ms=NOW - 19_500) == []


@pytest.mark.parametrize(
    ("left", "found"), [(100.0, 1), (90.0, 1), (89.9999, 0), (0.0, 0)], ids=["none", "a tenth", "more", "all"]
)
def test_at_least_nine_tenths_are_refilled(left, found):
    changes = chained("ask", 101.0, (30_000, 100.0), (9_000, left))
    asks = [(101.0, left)] if left else []
    assert len(icebergs(changes, trades_at(101.0, 10, is_buy=True, quantity=10.0), asks=asks)) == found


@given(st.integers(1, 400), st.integers(5, 9), st.sampled_from(["0.00000001", "0.001", "0.1", "1", "7"]))
def test_exactly_nine_tenths_are_an_iceberg_whatever_the_lot(lots, tenths, lot):
    """Ten trades of `lots` lots take ten times that; the level falls by one of them, or by a lot more."""
    visible = tenths * lots + 10**6
    for fall, expected in ((lots, 1), (lots + 1, 0)):
        before, after = (float(Decimal(lot) * number) for number in (visible, visible - fall))
        changes = chained("bid", 99.0, (30_000, before), (9_000, after))
        trades = trades_at(99.0, 10, is_buy=False, quantity=float(Decimal(lot) * lots))
        assert len(icebergs(changes, trades, bids=[(99.0, after)])) == expected


def test_what_happened_before_the_first_trade_does_not_count():
    changes = chained("ask", 101.0, (20_000, 5.0), (10_001, 100.0), (5_000, 101.0))
    assert len(icebergs(changes, trades_at(101.0, 6, is_buy=True), asks=[(101.0, 101.0)])) == 1


def test_a_level_that_is_not_there_or_is_hit_from_the_other_side_is_no_iceberg():
    assert icebergs([], trades_at(99.0, 9, is_buy=False), asks=[(99.0, 3.0)]) == []
    changes = chained("bid", 99.0, (30_000, 0.0), (9_000, 50.0))
    assert icebergs(changes, trades_at(99.0, 9, is_buy=False), bids=[(99.0, 50.0)]) == []


@given(HISTORY, TRADES, st.lists(st.sampled_from([90.0, 93.0, 107.5]), unique=True), st.integers(0, 3), AGE, AGE)
def test_icebergs_equal_the_oracle(history, trades, levels, repeats, known, newest):
    everything = trades * (1 + repeats)
    bids = [(price, 100.0) for price in levels if price < 100]
    asks = [(price, 100.0) for price in levels if price > 100]
    after_ms = max(NOW - 30_000, NOW - known)
    icebergs(as_changes(history), everything, bids, asks, after_ms=after_ms, until_ms=NOW - newest)


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


@given(
    st.one_of(st.none(), st.sampled_from([0.0, 20.0, 20.5])),
    st.one_of(st.none(), st.sampled_from([0.3, -0.3]), st.floats(-1, 1)),
    SELLS,
    st.sampled_from([0, NOW - 10_001, NOW - 10_000, NOW - 9_999, NOW]),
)
def test_flash_crash_risk_equals_the_oracle(spread_bps, imbalance, trades, known_after):
    known = window(trades)
    known.complete_after_ms = known_after
    found = flash_crash_risk(spread_bps, imbalance, known, NOW)
    expected = anomalies.flash_crash_risk(spread_bps, imbalance, trades, NOW, known_after)
    assert plain([found] if found else []) == expected


@given(st.integers(1, 10**5), st.integers(3, 12), st.sampled_from(["0.00000001", "0.001", "0.1", "7"]))
def test_exact_limits_of_flash_crash_risk(lots, pieces, lot):
    """An imbalance of exactly 0.3 is none, a spread of exactly 20 basis points is not wide, twice the sells are enough."""
    size = float(Decimal(lot) * lots)
    bids, asks = sum([size] * 13), sum([size] * 7)
    exactly = market.imbalance(bids, asks)
    wide = market.spread_bps(float(Decimal(lot) * 999 * lots), float(Decimal(lot) * 1001 * lots))
    assert flash_crash_risk(wide, 1.0, window([]), NOW) is None
    assert flash_crash_risk(20.1, exactly, window([]), NOW) is None
    sells = [(NOW - 6_000, 1.0, size, False)] * pieces + [(NOW - 1_000, 1.0, size, False)] * (2 * pieces)
    assert flash_crash_risk(20.1, exactly, window(sells), NOW).signals == ["wide_spread", "sell_acceleration"]
    assert flash_crash_risk(20.1, exactly, window(sells[:-1]), NOW) is None

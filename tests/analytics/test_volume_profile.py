"""Volume profile: by hand, and rolling against the walk over everything."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.oracles.volume_profile import volume_profile
from tickfence.analytics.liquidity.volume_profile import RollingVolumeProfile
from tickfence.analytics.trade_window import TradeWindow

NOW = 1_700_000_000_000
HALF_HOUR = 1_800_000


def extend(window, trades):
    window.extend(*([trade[column] for trade in trades] for column in range(4)))


def profile_of(trades, tick_size, now=NOW):
    window, rolling = TradeWindow(), RollingVolumeProfile(tick_size)
    extend(window, trades)
    rolling.update(window, now)
    found = rolling.profile(window, now)
    return found and msgspec.to_builtins(found)


def at(*volumes):
    """Ten trades and more: volumes[i] traded in the bin i of a tick of 0.01, in pieces."""
    return [
        (NOW - 1000, round(100 + 0.05 * index, 2), volume / 10, True)
        for index, volume in enumerate(volumes)
        for _ in range(10)
        if volume
    ]


def test_by_hand():
    # 100 in all; bin 2 is the fullest (40). Neighbours 10 and 25: up to 65. Then 10 and 5: down to 75, enough.
    found = profile_of(at(20.0, 10.0, 40.0, 25.0, 5.0), 0.01)
    assert found == {"POC": 100.125, "VAL": 100.05, "VAH": 100.2, "window_sec": 1800, "trade_count": 50}


def test_the_bins_are_what_was_traded_where():
    window, rolling = TradeWindow(), RollingVolumeProfile(0.01)
    extend(window, at(20.0, 10.0, 0.0, 40.0))
    rolling.update(window, NOW)
    assert rolling.bin_width == 0.05
    assert rolling.bins() == [(100.0, 20.0), (100.05, 10.0), (100.15, 40.0)]


def test_the_lowest_of_equally_full_bins_is_the_poc_and_ties_grow_down():
    found = profile_of(at(10.0, 30.0, 10.0, 30.0, 10.0), 0.01)
    # From bin 1 (30 of 90): 10 below ties with 10 above, so down (40); then up (50), up (80).
    assert (found["POC"], found["VAL"], found["VAH"]) == (100.075, 100.0, 100.2)


def test_ties_over_empty_bins_go_down_to_the_lowest_traded_one():
    found = profile_of(at(30.0, 0.0, 0.0, 40.0, 0.0, 30.0), 0.01)
    assert (found["POC"], found["VAL"], found["VAH"]) == (100.175, 100.0, 100.2)


def test_an_empty_neighbour_is_less_than_a_traded_one_whatever_lies_behind_it():
    found = profile_of(at(10.0, 0.0, 60.0, 5.0, 25.0), 0.01)
    assert (found["POC"], found["VAL"], found["VAH"]) == (100.125, 100.1, 100.25)


def test_a_bin_that_all_trades_have_left_is_no_bin():
    window, rolling = TradeWindow(), RollingVolumeProfile(0.01)
    extend(window, [(NOW - HALF_HOUR + 1, 99.0, 1.0, True), *at(40.0, 0.0, 30.0)])
    rolling.update(window, NOW)
    assert rolling.profile(window, NOW).VAL == 99.0
    rolling.update(window, NOW + 1)
    assert rolling.profile(window, NOW + 1).VAL == 100.0


def test_a_bin_holds_five_ticks():
    trades = [(NOW, 100 + tick / 100, 1.0, True) for tick in (0, 1, 2, 3, 4)] * 2
    found = profile_of(trades, 0.01)
    assert (found["POC"], found["VAL"], found["VAH"]) == (100.025, 100.0, 100.05)
    assert profile_of([*trades, (NOW, 100.05, 1.0, True)], 0.01)["VAH"] == 100.05


def test_a_price_counts_as_its_tick_though_its_quotient_is_just_below():
    assert 1.15 / 0.01 < 115
    assert profile_of([(NOW, 1.15, 1.0, True)] * 10, 0.01)["VAL"] == 1.15


@pytest.mark.parametrize(
    ("tick_size", "price", "edges"),
    [
        (1e-8, 0.00001234, (0.000012325, 0.0000123, 0.00001235)),
        (0.01, 60_000.07, (60_000.075, 60_000.05, 60_000.1)),
        (0.25, 4_001.5, (4_001.875, 4_001.25, 4_002.5)),
        (0.0125, 1.0, (1.03125, 1.0, 1.0625)),
        (1e-12, 1.529e-6, (1.5290025e-6, 1.529e-6, 1.529005e-6)),
        (1000.0, 7_000.0, (7_500.0, 5_000.0, 10_000.0)),
    ],
)
def test_edges_are_exact_decimals_for_any_tick_size(tick_size, price, edges):
    found = profile_of([(NOW, price, 1.0, True)] * 10, tick_size)
    assert (found["POC"], found["VAL"], found["VAH"]) == edges


def test_nine_trades_are_too_few():
    assert profile_of(at(10.0)[:9], 0.01) is None
    assert profile_of(at(10.0), 0.01) is not None


@pytest.mark.parametrize(("age", "counted"), [(HALF_HOUR, 10), (HALF_HOUR - 1, 11), (0, 11), (-1, 10)])
def test_window_edges(age, counted):
    trades = [(NOW - 5, 1.0, 1.0, True)] * 10
    assert profile_of([*trades, (NOW - age, 1.0, 1.0, True)], 0.01)["trade_count"] == counted


def test_trades_that_are_missing_shorten_the_window_told():
    window, rolling = TradeWindow(max_trades=20), RollingVolumeProfile(0.01)
    extend(window, [(NOW - 60_000 + 1000 * i, 1.0, 1.0, True) for i in range(50)])
    rolling.update(window, NOW)
    assert rolling.profile(window, NOW).window_sec == 31
    assert rolling.profile(window, NOW).trade_count == 20


def test_only_covered_trades_count_however_the_coverage_moves():
    window, rolling = TradeWindow(), RollingVolumeProfile(0.01)
    trades = [(NOW - 1_200_000 + 60_000 * i, 1.0 + 0.05 * (i % 7), 1.0, True) for i in range(20)]
    extend(window, trades)
    for known_after in (0, NOW - 1_000_000, NOW - 600_001, NOW - 600_000, NOW - 900_000, NOW + 1, NOW - 1_100_000, 0):
        window.complete_after_ms = known_after
        rolling.update(window, NOW)
        found = rolling.profile(window, NOW)
        expected = volume_profile(trades, NOW, 0.01, known_after)
        assert (found and msgspec.to_builtins(found)) == (expected and pytest.approx(expected, rel=1e-12))


def test_a_tick_size_must_be_positive():
    with pytest.raises(ValueError, match="above 0, not 0"):
        RollingVolumeProfile(0)


TICK_SIZES = st.sampled_from([0.01, 1e-8, 0.5, 1000.0])
TRADE = st.tuples(
    # Minutes apart, so that trades leave the window during a run; sometimes late.
    st.one_of(st.integers(0, 120_000), st.just(0), st.integers(-4_000_000, 0)),
    st.one_of(st.integers(1, 60), st.sampled_from([1, 400, 401])),
    st.sampled_from([0.1, 0.2, 0.3, 1.0, 1e-8, 1e10]),
    st.booleans(),
)
BATCHES = st.lists(st.tuples(st.lists(TRADE, max_size=25), st.integers(-20_000, 900_000)), min_size=1, max_size=10)


@given(TICK_SIZES, BATCHES)
@example(0.01, [([(0, 1, 0.1, True)] * 10, 0), ([(0, 1, 0.2, True)] * 3, HALF_HOUR)])
def test_rolling_profile_equals_the_walk_over_everything(tick_size, batches):
    window, rolling = TradeWindow(), RollingVolumeProfile(tick_size)
    everything, time, now = [], NOW, NOW
    for steps, waited in batches:
        batch = []
        for step, ticks, quantity, is_buy in steps:
            time += max(0, step)
            batch.append((time + min(0, step), ticks * tick_size, quantity, is_buy))
        extend(window, batch)
        newest = max((trade[0] for trade in everything + batch), default=0)
        everything = [trade for trade in everything + batch if trade[0] > newest - 31 * 60_000]
        now = max(now, time) + waited
        rolling.update(window, now)
        found = rolling.profile(window, now)
        expected = volume_profile(everything, now, tick_size)
        assert (found and msgspec.to_builtins(found)) == (expected and pytest.approx(expected, rel=1e-12, abs=1e-10))


def test_volumes_too_small_to_count_are_no_bin():
    trades = [(NOW, 5.0, 1e-10, True)] * 5 + [(NOW, 1.0, 1.0, True)] * 10
    window, rolling = TradeWindow(), RollingVolumeProfile(1.0)
    extend(window, trades)
    rolling.update(window, NOW)
    assert (rolling.profile(window, NOW).VAH, rolling.profile(window, NOW).trade_count) == (5.0, 15)
    rolling.update(window, NOW + HALF_HOUR)
    assert rolling.profile(window, NOW + HALF_HOUR) is None


def test_trades_that_left_before_they_were_taken_out_are_taken_out():
    window, rolling = TradeWindow(), RollingVolumeProfile(1.0)
    extend(window, [(NOW, 100.0, 9.0, True)] * 10)
    rolling.update(window, NOW)
    later = NOW + 2 * HALF_HOUR
    extend(window, [(later, 1.0, 1.0, True)] * 10)
    assert window.discarded == 10
    rolling.update(window, later)
    assert (rolling.profile(window, later).POC, rolling.profile(window, later).trade_count) == (2.5, 10)


def test_time_may_go_back():
    trades = [(NOW - age, float(1 + age // 60_000), 1.0, True) for age in range(1_700_000, 0, -100_000)]
    window, rolling = TradeWindow(), RollingVolumeProfile(0.1)
    extend(window, trades)
    for now in (NOW, NOW - 600_000, NOW + 600_000, NOW - 100_000, NOW):
        rolling.update(window, now)
        found = rolling.profile(window, now)
        assert (found and msgspec.to_builtins(found)) == volume_profile(trades, now, 0.1)

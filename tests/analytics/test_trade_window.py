"""The trade window against a plain sorted list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics.trade_window import TradeWindow

TRADE = st.tuples(
    st.integers(0, 500), st.sampled_from([1.0, 2.0, 1e-8, 1e12]), st.sampled_from([0.5, 1e-8, 1e9]), st.booleans()
)
BATCHES = st.lists(st.lists(TRADE, max_size=40), max_size=12)


def add(window: TradeWindow, trades: list[tuple[int, float, float, bool]]) -> None:
    window.extend(*([trade[column] for trade in trades] for column in range(4)))


def columns(window: TradeWindow, first: int, last: int) -> list[tuple[int, float, float]]:
    return list(
        zip(
            window.times(first, last).tolist(),
            window.prices(first, last).tolist(),
            window.signed_quantities(first, last).tolist(),
            strict=True,
        )
    )


def signed(trades: list[tuple[int, float, float, bool]]) -> list[tuple[int, float, float]]:
    return [(time, price, quantity if buy else -quantity) for time, price, quantity, buy in trades]


@given(BATCHES, st.integers(0, 600), st.integers(0, 300))
def test_window_equals_a_sorted_list_whatever_the_order_of_arrival(batches, until, length):
    window, model = TradeWindow(keep_ms=200, max_trades=100), []
    for batch in batches:
        add(window, batch)
        # Python's sort is stable, so trades of one ms stay in the order they came.
        model = sorted(model + batch, key=lambda trade: trade[0])
        model = [trade for trade in model if trade[0] > model[-1][0] - 200][-100:]
        assert len(window) == len(model)
        assert window.last_price == (model[-1][1] if model else None)
        first, last = window.between(until - length, until)
        expected = [trade for trade in model if until - length < trade[0] <= until]
        assert last - first == len(expected)
        assert columns(window, first, last) == signed(expected)
    everything = (window.discarded, window.discarded + len(window))
    assert columns(window, *everything) == signed(model)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_numbers_stay_with_their_trades_while_nothing_is_late(sizes):
    window, prices, time = TradeWindow(keep_ms=50, max_trades=64), [], 0
    for size in sizes:
        batch = []
        for _ in range(size):
            time += 1
            batch.append((time, float(time), 1.0, True))
        prices += [trade[1] for trade in batch]
        add(window, batch)
        last = window.discarded + len(window)
        assert last == len(prices)
        assert window.prices(window.discarded, last).tolist() == prices[window.discarded :]
    assert window.reordered == 0


def test_window_edges_are_half_open():
    window = TradeWindow()
    add(window, [(time, 1.0, 1.0, True) for time in (0, 1, 10_000, 10_001)])
    assert window.between(0, 10_000) == (1, 3)
    assert window.between(10_001, 10_000) == (4, 4)


def test_a_late_trade_is_sorted_in_and_told():
    window = TradeWindow()
    add(window, [(10, 1.0, 1.0, True), (30, 3.0, 1.0, True)])
    assert window.reordered == 0
    add(window, [(20, 2.0, 1.0, False)])
    assert window.reordered == 1
    assert window.prices(0, 3).tolist() == [1.0, 2.0, 3.0]
    assert window.last_price == 3.0


def test_positions_outside_the_window_are_clipped():
    window = TradeWindow(max_trades=2)
    add(window, [(time, float(time), 1.0, True) for time in range(1, 6)])
    assert window.discarded == 3
    assert window.prices(0, 99).tolist() == [4.0, 5.0]


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 times, 1 prices, 2 quantities, 2 sides"):
        TradeWindow().extend([1, 2], [1.0], [1.0, 1.0], [True, True])


def test_memory_stays_bounded():
    window, time = TradeWindow(max_trades=1000), 0
    for _ in range(200):
        add(window, [(time + i, 1.0, 1.0, True) for i in range(50)])
        time += 50
    assert len(window) == 1000
    assert window.nbytes <= 2048 * 24

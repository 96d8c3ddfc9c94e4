"""Rolling percentiles against sorting everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracles.percentile import percentile
from tickfence.analytics.quantities_window import QuantitiesWindow

QUANTITY = st.one_of(st.sampled_from([1e-8, 0.1, 1.0, 1.0, 2.0, 1e12]), st.floats(1e-9, 1e15))
BATCHES = st.lists(st.lists(QUANTITY, max_size=60), max_size=15)


@given(BATCHES, st.sampled_from([20, 37, 100]))
def test_percentiles_equal_those_of_the_sorted_quantities(batches, size):
    window, everything = QuantitiesWindow(size), []
    for batch in batches:
        window.extend(batch)
        everything += batch
        last = everything[-size:]
        assert len(window) == len(last)
        assert window.oldest_first().tolist() == last
        for percent in (0, 10, 50, 95, 100):
            expected = percentile(last, percent)
            found = window.percentile(percent)
            assert found == (expected if expected is None else pytest.approx(float(expected), rel=1e-15))


def test_by_hand():
    window = QuantitiesWindow()
    window.extend([float(number) for number in range(21, 0, -1)])
    assert window.percentile(10) == 3.0
    assert window.percentile(95) == 20.0
    window.extend([22.0])
    assert window.percentile(10) == 1 + 2.1
    assert window.percentile(95) == 20 + 0.95


def test_19_quantities_are_too_few():
    window = QuantitiesWindow()
    window.extend([1.0] * 19)
    assert window.percentile(95) is None
    window.extend([1.0])
    assert window.percentile(95) == 1.0


def test_only_the_last_10_000_count():
    window = QuantitiesWindow()
    window.extend([5.0] * 1_000)
    assert window.percentile(95) == 5.0
    window.extend([1.0] * 9_600)
    assert window.percentile(95) == 1.0
    assert window.percentile(97) == 5.0
    assert len(window) == 10_000
    assert window.nbytes <= 160_000


def test_of_more_quantities_at_once_than_the_window_holds_the_last_ones_count():
    window = QuantitiesWindow(20)
    window.extend([float(number) for number in range(7)])
    window.extend([float(number) for number in range(100)])
    assert window.oldest_first().tolist() == [float(number) for number in range(80, 100)]
    assert window.percentile(100) == 99.0
    assert window.percentile(0) == 80.0

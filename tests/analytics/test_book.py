"""The order book against a plain dict, and its numbering rules one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics.book import BookGap, BookNotInSync, OrderBook

PRICES = st.integers(1, 30).map(lambda ticks: ticks / 10)
QUANTITIES = st.one_of(st.just(0.0), st.integers(1, 5).map(float), st.sampled_from([1e-8, 1e12]))
LEVELS = st.lists(st.tuples(PRICES, QUANTITIES), max_size=12)
DIFFS = st.lists(st.tuples(LEVELS, LEVELS, st.integers(1, 5), st.integers(0, 6)), max_size=25)


def as_model(levels: list[tuple[float, float]]) -> dict[float, float]:
    return {price: quantity for price, quantity in levels if quantity > 0}


def update_model(model: dict[float, float], levels: list[tuple[float, float]], sign: int) -> list[float]:
    log = []
    for price, quantity in levels:
        log += [sign * price, model.get(price, 0.0), quantity]
        if quantity > 0:
            model[price] = quantity
        else:
            model.pop(price, None)
    return log


@given(LEVELS, LEVELS, DIFFS)
def test_book_equals_a_plain_dict_after_every_diff(snapshot_bids, snapshot_asks, diffs):
    book = OrderBook()
    book.load(100, snapshot_bids, snapshot_asks)
    bids, asks = as_model(snapshot_bids), as_model(snapshot_asks)
    last = 100
    for diff_bids, diff_asks, ids, overlap in diffs:
        log: list[float] = []
        assert book.apply(last + 1 - overlap, last + ids, diff_bids, diff_asks, log) is True
        last += ids
        assert log == update_model(bids, diff_bids, 1) + update_model(asks, diff_asks, -1)
        expected_bids, expected_asks = sorted(bids.items(), reverse=True), sorted(asks.items())
        assert book.levels() == (expected_bids, expected_asks)
        assert book.top(3) == (expected_bids[:3], expected_asks[:3])
        assert book.best_bid == (expected_bids[0] if bids else None)
        assert book.best_ask == (expected_asks[0] if asks else None)
        assert len(book) == len(bids) + len(asks)
        assert book.crossed == bool(bids and asks and max(bids) >= min(asks))
        assert book.last_update_id == last
        for price in (*bids, *asks, 99.0):
            assert book.bids.quantity(price) == bids.get(price, 0.0)
            assert book.asks.quantity(price) == asks.get(price, 0.0)


def loaded() -> OrderBook:
    book = OrderBook()
    book.load(100, [(9.0, 1.0)], [(10.0, 1.0)])
    return book


def test_a_new_book_takes_no_diff():
    with pytest.raises(BookNotInSync, match="load"):
        OrderBook().apply(1, 2, [], [])


@pytest.mark.parametrize(("first", "last"), [(90, 99), (90, 100), (100, 100)])
def test_an_old_diff_is_ignored(first, last):
    book = loaded()
    assert book.apply(first, last, [(9.0, 5.0)], []) is False
    assert book.best_bid == (9.0, 1.0)
    assert book.last_update_id == 100


@pytest.mark.parametrize(("first", "last"), [(101, 101), (101, 105), (100, 101), (50, 150)])
def test_a_diff_that_connects_or_overlaps_is_applied(first, last):
    book = loaded()
    assert book.apply(first, last, [(9.0, 5.0)], []) is True
    assert book.best_bid == (9.0, 5.0)
    assert book.last_update_id == last


def test_a_gap_leaves_the_book_unchanged_and_out_of_sync_until_a_load():
    book = loaded()
    with pytest.raises(BookGap) as caught:
        book.apply(102, 105, [(9.0, 5.0)], [])
    assert (caught.value.expected, caught.value.got) == (101, 102)
    assert "101" in str(caught.value)
    assert "102" in str(caught.value)
    assert not book.in_sync
    assert book.best_bid == (9.0, 1.0)
    with pytest.raises(BookNotInSync):
        book.apply(101, 106, [], [])
    book.load(200, [], [(11.0, 2.0)])
    assert book.in_sync
    assert book.levels() == ([], [(11.0, 2.0)])
    assert book.apply(201, 201, [(10.5, 1.0)], []) is True


def test_crossed_when_the_best_prices_meet():
    book = loaded()
    book.apply(101, 101, [(10.0, 1.0)], [])
    assert book.crossed
    book.apply(102, 102, [(10.0, 0.0)], [])
    assert not book.crossed

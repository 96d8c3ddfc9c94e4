"""The order book against a plain dict, and its numbering rules one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics import book_side
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


@given(LEVELS, LEVELS, st.none() | PRICES, st.none() | PRICES, st.integers(2, 6), DIFFS)
def test_a_book_is_what_it_would_be_without_a_limit_as_far_as_it_is_known(bids, asks, low, high, limit, diffs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book_side, "MAX_LEVELS", limit)
        book = OrderBook()
        book.load(1, bids, asks, low, high)
        everything = as_model(bids), as_model(asks)
        for number, (diff_bids, diff_asks, *_) in enumerate([([], []), *diffs], 2):
            before = book.bids.horizon, book.asks.horizon
            log: list[float] = []
            book.apply(number, number, diff_bids, diff_asks, log)
            expected = []
            for sign, end, levels, model in zip((1, -1), before, (diff_bids, diff_asks), everything, strict=True):
                known = [level for level in levels if end is None or level[0] * sign >= end * sign]
                inside = {price: q for price, q in model.items() if end is None or price * sign >= end * sign}
                expected += update_model(inside, known, sign)
                update_model(model, levels, sign)
            assert log == expected
            for sign, side, levels, model in zip(
                (1, -1), (book.bids, book.asks), book.levels(), everything, strict=True
            ):
                end = side.horizon
                true = sorted(model.items(), reverse=sign > 0)
                assert levels == [level for level in true if end is None or level[0] * sign >= end * sign]
                assert len(levels) <= limit
                assert end is not None or len(levels) < limit
                for n in range(limit + 2):
                    assert side.knows(n) is (len(levels) >= n or end is None)


def test_a_full_side_is_not_known_to_its_end_however_it_was_loaded(monkeypatch):
    monkeypatch.setattr(book_side, "MAX_LEVELS", 3)
    book = OrderBook()
    book.load(1, [(9.0, 1.0), (8.0, 1.0), (7.0, 1.0)], [(10.0, 1.0), (11.0, 1.0)])
    assert (book.bids.horizon, book.asks.horizon) == (7.0, None)
    book.load(2, [(price, 1.0) for price in (4.0, 9.0, 6.0, 8.0)], [(10.0, 1.0)], highest_ask=10.5)
    assert book.levels()[0] == [(9.0, 1.0), (8.0, 1.0), (6.0, 1.0)]
    assert (book.bids.horizon, book.asks.horizon) == (6.0, 10.5)


@pytest.mark.parametrize(("given", "horizon", "few"), [(200, 1.0, 99), (200, None, -1), (50, 1.0, 39), (60, 1.0, 39)])
def test_a_side_is_near_its_horizon_when_half_of_its_levels_are_gone_or_nearly_all(given, horizon, few):
    book = OrderBook()
    book.load(1, [(1.0 + place, 1.0) for place in range(given)], [], lowest_bid=horizon)
    for gone in range(given):
        assert book.near_horizon is (len(book.bids) <= few)
        book.apply(2 + gone, 2 + gone, [(float(given - gone), 0.0)], [])


def test_where_two_books_differ_is_told_as_far_as_both_are_known():
    book, other = OrderBook(), OrderBook()
    book.load(5, [(9.0, 1.0), (8.0, 2.0), (7.0, 3.0)], [(10.0, 1.0), (11.0, 1.0)], 7.0)
    other.load(5, [(9.0, 1.0), (8.5, 4.0), (8.0, 2.5), (6.0, 1.0)], [(10.0, 1.0), (12.0, 9.0)], 6.0, 11.0)
    assert book.bids.differences(other.bids) == [(8.5, 0.0, 4.0), (8.0, 2.0, 2.5), (7.0, 3.0, 0.0)]
    assert book.asks.differences(other.asks) == [(11.0, 1.0, 0.0)]
    assert book.bids.differences(book.bids) == []


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

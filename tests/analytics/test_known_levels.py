"""A symbol's state and the horizon of its book: what is published, what counts, and what a reload keeps."""

import pytest

from tickfence.analytics.level_changes import AFTER
from tickfence.analytics.symbol_state import NotPublishable, SymbolState

NOW = 1_700_000_000_000
ASKS = [(101.0 + place, 1.0) for place in range(30)]
BIDS = [(100.0 - place, 2.0) for place in range(30)]


def state(lowest_bid: float | None = 71.0) -> SymbolState:
    known = SymbolState("BTCUSDT")
    known.load_snapshot(10, BIDS, ASKS, NOW, lowest_bid)
    return known


def without_best(known: SymbolState, count: int) -> None:
    known.apply_diff(11, 11, [(price, 0.0) for price, _ in BIDS[:count]], [], NOW)


def test_a_book_is_published_while_it_knows_the_levels_that_a_report_shows():
    known, complete = state(), state(None)
    without_best(known, 10)
    without_best(complete, 11)
    assert known.publishable
    assert complete.publishable, "fewer, but all that there are"
    known.apply_diff(12, 12, [(90.0, 0.0), (60.0, 5.0)], [], NOW)
    assert not known.publishable
    with pytest.raises(NotPublishable, match="best 20 levels"):
        known.require_publishable()
    known.load_snapshot(12, [*BIDS[11:], (60.0, 5.0)], ASKS, NOW, 60.0)
    assert known.publishable


def test_quantities_beyond_the_horizon_do_not_count():
    known = state()
    before = len(known.quantities)
    known.apply_diff(11, 11, [(70.0, 9.0), (71.0, 9.0)], [], NOW)
    known.fold()
    assert known.quantities.oldest_first()[before:].tolist() == [9.0]


def test_nor_do_those_of_a_diff_that_the_snapshot_includes():
    known = state()
    known.observed_update_id = 8
    before = len(known.quantities)
    known.apply_diff(9, 9, [(70.0, 9.0), (71.0, 8.0)], [(500.0, 7.0)], NOW)
    known.fold()
    assert known.quantities.oldest_first()[before:].tolist() == [8.0, 7.0]


@pytest.mark.parametrize(
    ("snapshot", "distrusted", "crossing", "kept"),
    [
        (11, False, False, True),
        (9, False, False, True),
        (12, False, False, False),
        (11, True, False, False),
        (11, False, True, False),
    ],
    ids=["at the book's update", "behind it", "ahead of it", "the book is wrong", "the book crosses"],
)
def test_level_changes_remain_only_where_none_was_missed(snapshot, distrusted, crossing, kept):
    known = state()
    known.apply_diff(11, 11, [(100.0, 5.0), *([(105.0, 1.0)] if crossing else [])], [], NOW)
    known.book.in_sync = not distrusted
    known.load_snapshot(snapshot, BIDS, ASKS, NOW, 71.0)
    assert bool(len(known.changes.columns[AFTER])) is kept


def test_a_book_of_the_levels_that_the_exchange_tells_goes_on_from_its_snapshot():
    known = SymbolState("okx:BTC-USDT")
    known.load_snapshot(10, BIDS, ASKS, NOW, 71.0, 130.0, told=30)
    known.apply_diff(11, 11, [(100.0, 0.0), (70.0, 3.0)], [(100.5, 1.0)], NOW)
    assert (known.book.bids.horizon, known.book.asks.horizon) == (70.0, 129.0)
    assert known.book.bids.quantity(70.0) == 3.0
    assert known.book.asks.quantity(130.0) == 0.0

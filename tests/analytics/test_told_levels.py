"""Books of which an exchange tells every change of the best levels and of no others: OKX tells 400 a side, Kraken as many as asked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics.book import OrderBook

TOLD = 5

Side = dict[float, float]

prices = st.integers(1, 12).map(float)
changes = st.dictionaries(prices, st.sampled_from([0.0, 1.0, 2.0]), max_size=6)
sides = st.dictionaries(prices, st.sampled_from([1.0, 2.0]), max_size=12)


def best(side: Side, sign: float) -> list[tuple[float, float]]:
    return sorted(side.items(), key=lambda level: -sign * level[0])[:TOLD]


def above(side: Side) -> Side:
    """The same levels above all bids."""
    return {price + 100: quantity for price, quantity in side.items()}


def tell(side: Side, change: Side, sign: float) -> Side:
    """Change a side; return what the exchange tells of it."""
    before = best(side, sign)
    for price, quantity in change.items():
        side[price] = quantity
        if not quantity:
            del side[price]
    after = best(side, sign)
    told = {price: 0.0 for price, _ in before if price not in side}
    return told | dict(set(after) - set(before))


@given(sides, sides, st.lists(st.tuples(changes, changes), max_size=20))
def test_the_book_is_the_best_levels_after_every_update(
    bids: Side, asks: Side, updates: list[tuple[Side, Side]]
) -> None:
    asks = above(asks)
    book = OrderBook()
    book.load(1, best(bids, 1.0), best(asks, -1.0), told=TOLD)
    for number, (of_bids, of_asks) in enumerate(updates, 2):
        told = tell(bids, of_bids, 1.0), tell(asks, above(of_asks), -1.0)
        book.apply(number, number, list(told[0].items()), list(told[1].items()))
        expected = best(bids, 1.0), best(asks, -1.0)
        assert book.levels() == expected
        deepest = [levels[-1][0] if len(levels) == TOLD else None for levels in expected]
        assert [book.bids.horizon, book.asks.horizon] == deepest, "with fewer levels the side is known to its end"


def test_a_level_that_comes_in_from_beyond_has_not_changed() -> None:
    book = OrderBook()
    book.load(1, [(price, 1.0) for price in (9.0, 8.0, 7.0)], [], told=3)
    log: list[float] = []
    book.apply(2, 2, [(8.0, 0.0), (6.0, 5.0)], [], log)
    assert log == [8.0, 1.0, 0.0]
    assert book.bids.quantity(6.0) == 5.0
    book.apply(3, 3, [(6.0, 4.0)], [], log)
    assert log[3:] == [6.0, 5.0, 4.0]

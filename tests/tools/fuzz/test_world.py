"""The fuzz's own exchange: what it tells gives the book that it has, and its books are possible."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.fuzz.world import KINDS, TOLD_LEVELS, Diff, Market, Side, decimal_text

kinds = st.sampled_from(sorted(KINDS))


def market(kind: str, seed: int) -> Market:
    return Market("FUZZUSDT", KINDS[kind], Random(seed))


class Known:
    """One side as a client knows it: complete down to a horizon, and no deeper than what diffs tell."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.levels = {ticks * side.sign: lots for ticks, lots in side.top(TOLD_LEVELS)}
        self.horizon = min(self.levels) if len(side) > TOLD_LEVELS else None

    def apply(self, changes: list[tuple[int, int]]) -> None:
        for ticks, lots in changes:
            key = ticks * self.side.sign
            if self.horizon is not None and key < self.horizon:
                continue
            if lots:
                self.levels[key] = lots
            else:
                self.levels.pop(key, None)
        if len(self.levels) > TOLD_LEVELS:
            best = sorted(self.levels)[-TOLD_LEVELS:]
            self.levels, self.horizon = {key: self.levels[key] for key in best}, best[0]

    def is_true(self) -> bool:
        best = [(key * self.side.sign, self.levels[key]) for key in sorted(self.levels, reverse=True)]
        complete = self.horizon is not None or len(best) == len(self.side)
        return complete and best == list(self.side.top(len(best)) if best else ())


@given(kind=kinds, seed=st.integers(0, 10**6), jumps=st.lists(st.integers(-1400, 1400), max_size=3))
def test_the_sides_of_a_book_never_meet_and_every_price_is_above_zero(kind: str, seed: int, jumps: list[int]) -> None:
    one = market(kind, seed)
    for jump in [*jumps, 0]:
        for ms in range(40):
            one.step(ms)
        one.move(jump)
        for side in (one.bids, one.asks):
            assert side.keys == sorted(side.lots)
            assert all(key * side.sign > 0 for key in side.keys[:1] + side.keys[-1:])
            assert min(side.lots.values(), default=1) > 0
        if one.bids.keys and one.asks.keys:
            assert one.bids.keys[-1] < -one.asks.keys[-1]


@given(kind=kinds, seed=st.integers(0, 10**6))
def test_a_snapshot_and_the_diffs_after_it_give_the_book_as_far_as_it_is_told(kind: str, seed: int) -> None:
    one = market(kind, seed)
    known = [Known(one.bids), Known(one.asks)]
    last = one.update_id
    for ms in range(60):
        one.step(ms)
        diff = one.take_diff()
        if diff is None:
            continue
        assert diff.first == last + 1
        last = diff.last
        for side, changes in zip(known, diff[2:], strict=True):
            side.apply(changes)
            assert side.is_true()
    assert one.shown[one.update_id] == (one.bids.top(20), one.asks.top(20), True)


def test_a_level_beyond_the_told_ones_is_not_told() -> None:
    one = market("deep", 1)
    far = one.bids.keys[-TOLD_LEVELS - 1]
    near = one.bids.keys[-TOLD_LEVELS]
    for key in (far, near):
        one.update_id += 1
        one.bids.set(key, 7)
    assert one.take_diff() == Diff(one.update_id - 1, one.update_id, [(near, 7)], [])


def test_trades_take_what_the_book_had() -> None:
    one = market("medium", 3)
    for ms in range(200):
        before = dict(one.bids.lots) | {-key: lots for key, lots in one.asks.lots.items()}
        for trade in one.step(ms)[:1]:
            assert trade.lots <= before[trade.ticks]
    ids = [trade.trade_id for trade in one.trades]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert one.net[-1] == sum(trade.lots if trade.is_buy else -trade.lots for trade in one.trades)


@pytest.mark.parametrize(("units", "text"), [(2, "0.00000002"), (10**8, "1.00000000"), (0, "0.00000000")])
def test_decimals_are_written_as_the_exchange_does(units: int, text: str) -> None:
    assert decimal_text(units) == text

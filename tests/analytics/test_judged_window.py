"""Spoofing and icebergs are judged only where all trades and all changes of the book are known."""

import json

import numpy as np
import pytest

from tickfence.analytics import carry, slow_cycle
from tickfence.analytics.level_changes import KEEP_MS, MAX_CHANGES, UNKNOWN, LevelChanges
from tickfence.analytics.symbol_state import SymbolState
from tickfence.analytics.trade_coverage import TradeCoverage

START = 1_700_000_000_000
BIDS = [(100.0 - place, 5.0) for place in range(30)]
ASKS = [(101.0 + place, 5.0) for place in range(30)]


class IcebergMarket:
    """Its best bid trades once a second and always shows 5. A diff each second changes another level."""

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead
        self.now, self.last_id = START, 100
        self.state = SymbolState("BTCUSDT")
        self.load(self.state)

    def load(self, state: SymbolState) -> None:
        state.load_snapshot(self.last_id, BIDS, ASKS, self.now)

    def seconds(self, count: int, *states: SymbolState, diffs: bool = True) -> None:
        for _ in range(count):
            self.now += 1000
            self.last_id += diffs
            market_ms = self.now + self.ahead
            for state in states or (self.state,):
                state.add_trades([market_ms - 10], [100.0], [1.0], [False], self.now)
                if diffs:
                    changed = [(60.0, 1.0 + self.last_id % 2)]
                    state.apply_diff(self.last_id, self.last_id, changed, [], self.now, market_ms)

    def trades(self, state: SymbolState | None = None) -> int:
        """How many trades the iceberg has; 0 without one."""
        found = json.loads(slow_cycle.run(state or self.state, self.now))["anomalies"]
        return sum(anomaly["trades"] for anomaly in found if anomaly["type"] == "iceberg")


@pytest.mark.parametrize("ahead", [0, -15_000, 3_600_000])
def test_a_new_book_is_judged_from_its_first_diff_on(ahead):
    market = IcebergMarket(ahead)
    market.seconds(3, diffs=False)
    assert market.state.changes.complete_after_ms == UNKNOWN
    market.seconds(10)
    assert market.trades() == 9, "of ten trades the first came before the first diff"
    market.seconds(40)
    assert market.trades() == 30


def test_a_book_that_was_loaded_again_is_judged_from_its_next_diff_on():
    market = IcebergMarket()
    market.seconds(40)
    market.load(market.state)
    assert market.trades() == 30, "the snapshot has nothing that is not known"
    market.last_id += 5
    market.load(market.state)
    assert market.trades() == 0
    market.seconds(7)
    assert market.trades() == 6


def test_trades_that_are_missing_are_not_judged():
    market = IcebergMarket()
    market.seconds(40)
    market.state.trades.complete_after_ms = market.now - 8_000
    assert market.trades() == 8
    market.state.trades.complete_after_ms = market.now - 4_000
    assert market.trades() == 0


def test_trades_after_the_newest_diff_are_not_judged_yet():
    market = IcebergMarket()
    market.seconds(20)
    known = market.trades()
    market.seconds(1, diffs=False)
    assert market.trades() == known
    market.seconds(1)
    assert market.trades() == known + 2


def handed_over(market: IcebergMarket) -> SymbolState:
    heir = SymbolState("BTCUSDT")
    carry.restore(heir, carry.dump(market.state, market.now))
    heir.trades.coverage = TradeCoverage()  # the trades here have no ids: all are there
    return heir


def test_a_new_owner_judges_what_the_old_one_could_judge():
    market = IcebergMarket()
    market.seconds(8)
    heir = handed_over(market)
    market.load(heir)
    for age in range(20):  # trades are read further back than the carry reaches
        heir.add_trades([market.now - 1000 * age - 10], [100.0], [1.0], [False], market.now)
    assert heir.changes.complete_after_ms == market.state.changes.complete_after_ms == START + 999
    market.seconds(1, market.state, heir)
    assert market.trades(heir) == market.trades() == 8


def test_a_new_owner_does_not_judge_what_happened_between_the_carry_and_its_snapshot():
    market = IcebergMarket()
    market.seconds(20)
    heir = handed_over(market)
    market.seconds(5)
    market.load(heir)  # newer than the carry: what the diffs in between changed is not known
    heir.apply_diff(market.last_id, market.last_id, [(80.0, 1.0)], [], market.now, market.now)
    assert heir.changes.complete_after_ms == market.now
    market.seconds(6, market.state, heir)
    assert market.trades(heir) == 6


def test_a_new_owner_does_not_judge_across_diffs_that_are_not_in_the_stream_any_more():
    market = IcebergMarket()
    market.seconds(20)
    heir = handed_over(market)
    market.seconds(5)
    market.load(heir)
    market.seconds(6, market.state, heir)
    assert heir.changes.complete_after_ms == market.now - 5_001
    assert market.trades(heir) == 5


def test_the_changes_of_a_traded_level_are_carried_over_on_the_exchanges_clock():
    market = IcebergMarket(ahead=-3_600_000)
    market.seconds(5)
    assert handed_over(market).changes.columns[3].tolist() == [0.0] * 5, "small ones that do not trade are counted"
    market.state.add_trades([market.now - 3_600_100], [60.0], [1.0], [False], market.now)
    assert handed_over(market).changes.columns[3].all()


def test_changes_that_are_too_many_to_keep_are_told():
    log = LevelChanges()
    log.complete_after_ms = 0
    times = START + np.arange(MAX_CHANGES + 100)
    log.extend(np.array([times, np.ones(len(times)), np.zeros(len(times)), np.ones(len(times))], dtype=float))
    assert log.columns.shape == (4, MAX_CHANGES)
    assert log.complete_after_ms == START + 99
    assert KEEP_MS > MAX_CHANGES, "none of them was too old"

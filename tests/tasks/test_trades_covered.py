"""Since when a node's trades are complete, in each situation that it reads its way out of."""

from __future__ import annotations

import pytest

from tasks.reporter import Progress
from tests.tasks.answers import HELD, KEYS, NOW_MS, Entry, Node, S, diff, snapshot, trade
from tickfence.analytics.trade_coverage import NEVER
from tickfence.streams.read import TRADES_LIMIT

NOTHING = NEVER - NOW_MS


def covered(node: Node) -> int:
    """Since when, in ms after the snapshot."""
    return node.reporter.warm.state.trades.complete_after_ms - NOW_MS


def trades(*ids: int) -> list[Entry]:
    """Trades at ten times their ids."""
    return [trade(number, 10 * number) for number in ids]


@pytest.mark.parametrize(
    ("ids", "since"),
    [((7, 8, 9), 70), ((1, 2, 8, 9), 80), ((1, 3, 5, 9), 90), ((7, 8, 9, 11), 110)],
)
def test_a_cold_start_covers_what_its_streams_prove(ids: tuple[int, ...], since: int) -> None:
    assert covered(Node().start(trades=trades(*ids), book=[diff(11, at_ms=60), diff(12, at_ms=95)])) == since


def test_diffs_that_do_not_reach_back_to_the_newest_trade_cover_nothing_until_the_next_one() -> None:
    node = Node().start(trades=trades(7, 8), book=[diff(9, at_ms=1_000), diff(10, at_ms=1_100)])
    assert covered(node) == NOTHING
    node.read(new=([trade(9, 1_150)], [diff(11, at_ms=1_200)]))
    assert covered(node) == 70


def test_of_a_symbol_that_nobody_has_traded_nothing_is_covered_until_its_first_trade() -> None:
    node = Node().start(trades=[], book=[diff(11, at_ms=50)])
    node.read(new=([], [diff(12, at_ms=500)]))
    assert covered(node) == NOTHING
    node.read(new=([trade(1, 600)], []))
    assert covered(node) == 600


def test_after_a_break_trades_are_covered_again_by_the_ones_that_were_missed() -> None:
    node = Node().start(trades=trades(7, 8), book=[diff(11, at_ms=60)])
    assert node.read(new=([], [diff(20, at_ms=900)])) is Progress.AGAIN
    assert node.read(lease=HELD, snapshot=snapshot(19), book=[diff(11, at_ms=60), diff(20, at_ms=900)])
    assert covered(node) == NOTHING
    node.read(new=([], [diff(21, at_ms=1_000)]))
    assert covered(node) == NOTHING
    node.read(new=([*trades(9, 10, 11), trade(12, 950)], []))
    assert covered(node) == 70
    node.read(new=([trade(14, 1_050)], []))
    assert covered(node) == 1_050


def test_a_book_that_is_loaded_again_without_a_gap_is_no_break() -> None:
    node = Node().start(trades=trades(7, 8), book=[diff(11, at_ms=60)])
    node.reporter.warm.invalidate("test")
    diffs = [diff(11, at_ms=60), diff(12, at_ms=5_000)]
    assert node.read(snapshot=snapshot(12), book=diffs, trades=trades(8)) is Progress.READY
    assert covered(node) == 70


def test_a_new_owner_of_a_quiet_symbol_goes_on_with_what_the_last_one_knew() -> None:
    old = Node().start(trades=trades(7, 8), book=[diff(11, at_ms=60)])
    old.read(new=([], [diff(12, at_ms=5_000), diff(13, at_ms=9_000)]))
    write = old.compute(slow=True)
    assert write is not None
    kept = {"trades": trades(7, 8), "snapshot": snapshot(13), "carry": write.values[KEYS.carry(S)]}
    for first, since in ((13, 70), (14, 70), (15, NOTHING)):
        book = [diff(first, 15, at_ms=9_500), diff(16, at_ms=9_600)]
        assert covered(Node().start(**kept | {"book": book, "snapshot": snapshot(15)})) == since


def test_of_very_many_trades_the_coverage_grows_as_they_are_read() -> None:
    newest = range(30_001, 30_001 + TRADES_LIMIT)
    node = Node().start(trades=trades(*newest), book=[diff(11)])
    assert covered(node) == 10 * newest[0]
    node.read(older=trades(*range(newest[0] - TRADES_LIMIT, newest[0])))
    assert covered(node) == 10 * (newest[0] - TRADES_LIMIT)
    node.read(older=trades(*range(1, 5_000), *range(5_010, newest[0] - TRADES_LIMIT)))
    assert covered(node) == 10 * 5_010
    node.read()
    assert not any("XREVRANGE" in command for command in node.asked), "older ones add nothing"

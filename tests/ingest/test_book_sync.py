"""The documented procedure against a model that knows every update ever made."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest import book_sync
from ingest.book_refresh import MAX_DIFFS, Refreshed
from ingest.book_sync import MAX_AHEAD_MS, BookSync
from ingest.events import Depth, Diff, Rejected
from tickfence.analytics import book_side
from tickfence.analytics.book_side import Difference
from tickfence.monitoring.ingest_metrics import Refusal

START = ([(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.0), (102.0, 2.0)])


def diff(first: int, last: int, bids=(), asks=(), time_ms: int | None = None) -> Diff:  # type: ignore[no-untyped-def]
    return Diff("S", 1_000 + last if time_ms is None else time_ms, first, last, list(bids), list(asks))


def synced(last_update_id: int = 10) -> BookSync:
    sync = BookSync("S")
    assert sync.on_depth(Depth(last_update_id, *START), 1) == []
    return sync


def test_diffs_wait_for_the_snapshot_and_those_it_includes_are_dropped() -> None:
    sync = BookSync("S")
    waiting = [diff(8, 9), diff(10, 10), diff(11, 12, [(99.0, 5.0)]), diff(13, 13, [(98.5, 1.0)])]
    assert [sync.on_diff(each, 7) for each in waiting] == [False] * 4
    assert sync.on_depth(Depth(10, *START), 8) == [(each, 7) for each in waiting[2:]]
    assert sync.in_sync
    assert sync.book.top(3)[0] == [(99.0, 5.0), (98.5, 1.0), (98.0, 2.0)]


@pytest.mark.parametrize(("snapshot", "usable"), [(7, False), (8, False), (9, True), (10, True), (14, True)])
def test_a_snapshot_older_than_the_first_waiting_diff_is_of_no_use(snapshot: int, usable: bool) -> None:
    sync = BookSync("S")
    sync.on_diff(diff(10, 12), 1)
    assert (sync.on_depth(Depth(snapshot, *START), 1) is not None) is usable
    assert sync.in_sync is usable


def test_a_gap_publishes_nothing_until_a_snapshot_closes_it() -> None:
    sync = synced(10)
    assert sync.on_diff(diff(11, 11), 1)
    assert not sync.on_diff(diff(13, 13), 1)
    assert sync.why == "gap"
    assert not sync.on_diff(diff(14, 14), 1)
    assert sync.on_depth(Depth(11, *START), 1) is None
    assert sync.on_depth(Depth(12, *START), 1) == [(diff(13, 13), 1), (diff(14, 14), 1)]


def test_a_gap_among_the_waiting_diffs_starts_the_wait_again() -> None:
    sync = BookSync("S")
    sync.on_diff(diff(5, 5), 1)
    sync.on_diff(diff(7, 7), 1)
    assert sync.on_depth(Depth(5, *START), 1) is None
    assert sync.on_depth(Depth(6, *START), 1) == [(diff(7, 7), 1)]


def test_copies_are_neither_published_nor_a_reason_to_doubt() -> None:
    sync = synced(10)
    assert sync.on_diff(diff(11, 12), 1)
    assert not sync.on_diff(diff(11, 12), 1)
    assert not sync.on_diff(diff(9, 10), 1)
    assert sync.in_sync


def test_copies_may_wait_twice_without_harm() -> None:
    sync = BookSync("S")
    for each in (diff(10, 10), diff(11, 11), diff(10, 10), diff(11, 11), diff(12, 12)):
        sync.on_diff(each, 1)
    assert sync.on_depth(Depth(9, *START), 1) == [(diff(10, 10), 1), (diff(11, 11), 1), (diff(12, 12), 1)]


def test_update_ids_that_go_back_are_refused_and_the_book_is_loaded_again() -> None:
    sync = synced(100)
    assert sync.on_diff(diff(101, 101, time_ms=5_000), 1)
    with pytest.raises(Rejected) as caught:
        sync.on_diff(diff(50, 50, time_ms=5_100), 1)
    assert caught.value.reason is Refusal.UPDATE_ID_BACK
    assert not sync.in_sync
    # An exchange that starts its numbers again goes on from there.
    assert sync.on_depth(Depth(49, *START), 1) == [(diff(50, 50, time_ms=5_100), 1)]


def test_a_snapshot_of_an_old_count_of_update_ids_is_given_up() -> None:
    sync = synced(100)
    sync.on_diff(diff(101, 101), 1)
    with pytest.raises(Rejected):
        sync.on_diff(diff(5, 5, time_ms=5_000), 1)  # the exchange starts its numbers again
    assert sync.on_depth(Depth(103, *START), 1_000) == [], "REST does not know that yet"
    assert not sync.on_diff(diff(6, 6, time_ms=5_200), 1_000 + MAX_AHEAD_MS)
    assert sync.in_sync, "a feed that lags comes to it"
    assert not sync.on_diff(diff(7, 7, time_ms=5_300), 1_001 + MAX_AHEAD_MS)
    assert not sync.in_sync
    assert sync.on_depth(Depth(6, *START), 1) == [(diff(7, 7, time_ms=5_300), 1_001 + MAX_AHEAD_MS)]


def test_a_crossed_book_is_refused_and_loaded_again() -> None:
    sync = synced(10)
    with pytest.raises(Rejected) as caught:
        sync.on_diff(diff(11, 11, bids=[(101.0, 1.0)]), 1)
    assert caught.value.reason is Refusal.CROSSED_BOOK
    assert sync.why == Refusal.CROSSED_BOOK
    assert not sync.on_diff(diff(12, 12), 1)


def test_a_crossed_book_among_the_waiting_is_refused() -> None:
    sync = BookSync("S")
    sync.on_diff(diff(11, 11, bids=[(101.0, 1.0)]), 1)
    with pytest.raises(Rejected):
        sync.on_depth(Depth(10, *START), 1)
    assert not sync.in_sync


def test_a_snapshot_of_a_book_in_sync_changes_nothing() -> None:
    sync = synced(10)
    assert sync.on_depth(Depth(20, [], []), 1) is None
    assert sync.book.last_update_id == 10


def test_the_waiting_diffs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_sync, "MAX_WAITING", 3)
    sync = BookSync("S")
    for update_id in range(1, 6):
        sync.on_diff(diff(update_id, update_id), 1)
    assert sync.on_depth(Depth(3, *START), 1) == [(diff(4, 4), 1), (diff(5, 5), 1)]


def test_a_fresh_snapshot_widens_a_book_that_stays_in_use() -> None:
    sync = BookSync("S")
    sync.on_depth(Depth(10, *START, lowest_bid=98.0), 1)
    sync.begin_refresh()
    assert sync.on_diff(diff(11, 11, [(98.0, 0.0)]), 1)
    assert sync.on_fresh_depth(Depth(10, [*START[0], (97.0, 4.0)], START[1], lowest_bid=97.0))
    assert sync.refreshed() == Refreshed(True, [], [])
    assert sync.book.top(3)[0] == [(99.0, 1.0), (97.0, 4.0)]
    assert sync.refreshed() is None


@pytest.mark.parametrize("side", [0, 1])
def test_a_book_that_differs_within_the_common_range_is_replaced_and_told(side: int) -> None:
    sync = synced(10)
    sync.begin_refresh()
    levels = [list(each) for each in START]
    levels[side][0] = (levels[side][0][0], 7.0)
    assert sync.on_fresh_depth(Depth(10, *levels))
    refreshed = sync.refreshed()
    assert refreshed is not None
    assert refreshed.wrong
    assert refreshed[1 + side] == [Difference(levels[side][0][0], 1.0, 7.0)]
    assert refreshed[2 - side] == []
    assert [dict(found) for found in sync.book.levels()] == [dict(each) for each in levels]


def test_levels_that_one_of_both_does_not_know_are_no_difference() -> None:
    sync = BookSync("S")
    sync.on_depth(Depth(10, [(99.0, 1.0)], START[1], lowest_bid=98.5), 1)
    sync.begin_refresh()
    sync.on_fresh_depth(Depth(10, *START))
    assert sync.refreshed() == Refreshed(True, [], [])
    sync.begin_refresh()
    sync.on_fresh_depth(Depth(10, [(99.0, 1.0)], START[1][:1], lowest_bid=99.0, highest_ask=101.0))
    assert sync.refreshed() == Refreshed(False, [], [])
    assert sync.book.levels() == START, "the wider range stays"


def test_a_fresh_snapshot_ahead_of_the_feed_waits_for_it() -> None:
    sync = synced(10)
    sync.begin_refresh()
    assert sync.on_fresh_depth(Depth(12, [(99.0, 3.0), (97.0, 1.0)], START[1]))
    assert sync.refreshed() is None
    assert sync.on_diff(diff(11, 11, [(98.0, 0.0)]), 1)
    assert sync.refreshed() is None
    assert sync.on_diff(diff(12, 13, [(99.0, 3.0), (97.0, 2.0)]), 1)
    assert sync.refreshed() == Refreshed(False, [], [])
    assert sync.book.top(3)[0] == [(99.0, 3.0), (97.0, 2.0)]


def test_a_fresh_snapshot_that_the_feed_does_not_come_to_is_given_up() -> None:
    sync = synced(10)
    sync.begin_refresh()
    assert sync.on_fresh_depth(Depth(1_000_000, *START)), "of an old count of the update ids"
    for update_id in range(11, 11 + MAX_DIFFS):
        assert sync.refresh is not None
        assert sync.on_diff(diff(update_id, update_id), 1)
        assert sync.refreshed() is None
    assert sync.refresh is None


def test_a_fresh_snapshot_older_than_its_refresh_is_of_no_use() -> None:
    sync = synced(10)
    assert not sync.on_fresh_depth(Depth(10, *START)), "no refresh was begun"
    assert sync.on_diff(diff(11, 11), 1)
    sync.begin_refresh()
    assert not sync.on_fresh_depth(Depth(10, *START))
    assert sync.on_diff(diff(12, 12), 1)
    assert not sync.on_fresh_depth(Depth(10, *START))
    assert sync.on_fresh_depth(Depth(11, *START))
    assert sync.refreshed() == Refreshed(False, [], [])


def test_a_lost_book_forgets_its_refresh() -> None:
    sync = synced(10)
    sync.begin_refresh()
    assert sync.on_fresh_depth(Depth(15, *START))
    sync.on_diff(diff(14, 20), 1)
    assert sync.why == "gap"
    assert sync.refresh is None


def test_a_fresh_snapshot_that_crosses_loses_the_book() -> None:
    sync = synced(10)
    sync.begin_refresh()
    sync.on_diff(diff(11, 11, bids=[(100.0, 1.0)]), 1)
    sync.on_fresh_depth(Depth(10, [(99.0, 1.0)], [(100.0, 1.0)]))
    with pytest.raises(Rejected):
        sync.refreshed()
    assert sync.why == Refusal.CROSSED_BOOK


WINDOW, SNAPSHOT = 5, 4
"""Levels of a side whose changes the exchange tells, and levels of a snapshot."""


class Feed(RuleBasedStateMachine):
    """A market, a feed that loses, repeats and stalls, REST snapshots of any age, and the books they lead to.

    The feed tells nothing of levels beyond the best `WINDOW`; snapshots have no more than `SNAPSHOT`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(book_side, "MAX_LEVELS", WINDOW)
        self.sync = BookSync("S")
        self.history = [(dict(START[0]), dict(START[1]))]  # the true book after each update, by id
        self.touched: list[tuple[int, float] | None] = [None]  # side and price of each update, by id
        self.sent = 0  # newest update id the feed has come to
        self.delivered: list[Diff] = []
        self.published = 0  # newest update id published since the book was last in sync

    def teardown(self) -> None:
        self.patch.undo()

    @rule(
        count=st.integers(1, 3),
        price=st.integers(90, 99),
        quantity=st.integers(0, 3),
    )
    def market(self, count: int, price: int, quantity: int) -> None:
        for step in range(count):
            bids, asks = (dict(side) for side in self.history[-1])
            side, at = (0, float(price)) if (price + step) % 2 else (1, float(price + 11))
            (bids, asks)[side][at] = float(quantity)
            self.history.append((bids, asks))
            self.touched.append((side, at))

    @rule(side=st.integers(0, 1), gone=st.integers(1, 9))
    def falls_through(self, side: int, gone: int) -> None:
        """The best levels of a side vanish."""
        best = self.levels(len(self.history) - 1, side)[:gone]
        for price, _ in best:
            sides = tuple(dict(each) for each in self.history[-1])
            sides[side][price] = 0.0
            self.history.append((sides[0], sides[1]))
            self.touched.append((side, price))

    def newest(self) -> int:
        return len(self.history) - 1

    def levels(self, update_id: int, side: int) -> list[tuple[float, float]]:
        """The true levels of a side, best first."""
        known = [(price, quantity) for price, quantity in self.history[update_id][side].items() if quantity]
        return sorted(known, reverse=side == 0)

    def told(self, update_id: int, side: int, price: float) -> bool:
        better = [at for at, _ in self.levels(update_id, side) if (at > price if side == 0 else at < price)]
        return len(better) < WINDOW

    def change(self, first: int, last: int) -> Diff:
        """What the exchange says of these updates: the state after the last of the levels they touched."""
        touched = {each for each in self.touched[first : last + 1] if each}
        touched = {each for each in touched if self.told(first - 1, *each) or self.told(last, *each)}
        sides = [[(price, self.history[last][side][price]) for at, price in touched if at == side] for side in (0, 1)]
        return diff(first, last, *sides)

    @precondition(lambda self: self.newest() > self.sent)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        last = data.draw(st.integers(self.sent + 1, self.newest()))
        self.delivered.append(self.change(self.sent + 1, last))
        self.sent = last
        self.receive(self.delivered[-1])

    @precondition(lambda self: self.newest() > self.sent)
    @rule()
    def lose(self) -> None:
        self.sent += 1

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.receive(data.draw(st.sampled_from(self.delivered)))

    @rule()
    def doubt(self) -> None:
        self.sync.lose("doubt")

    @precondition(lambda self: self.sync.in_sync)
    @rule()
    def begin_refresh(self) -> None:
        self.sync.begin_refresh()

    @rule(data=st.data())
    def snapshot(self, data: st.DataObject) -> None:
        update_id = data.draw(st.integers(max(0, self.newest() - 4), self.newest()))
        sides = [self.levels(update_id, side) for side in (0, 1)]
        ends = [side[SNAPSHOT - 1][0] if len(side) >= SNAPSHOT else None for side in sides]
        depth = Depth(update_id, *(side[:SNAPSHOT] for side in sides), *ends)
        if self.sync.in_sync:
            before = self.sync.book.last_update_id
            wanted = self.sync.refresh is not None
            taken = self.sync.on_fresh_depth(depth)
            assert taken or not wanted or update_id < before, "a snapshot as new as the book is of use"
            self.refreshed(taken and update_id <= before)
            assert self.sync.book.last_update_id == before
            return
        published = self.sync.on_depth(depth, 1)
        if update_id >= self.sent:
            assert self.sync.in_sync, "a snapshot as new as the feed always brings the book into sync"
        if published is not None:
            self.published = update_id
        for each, _ in published or []:
            self.publish(each)

    def receive(self, each: Diff) -> None:
        if self.sync.on_diff(each, 1):
            self.publish(each)
            self.refreshed(False)

    def refreshed(self, due: bool) -> None:
        """A right book is never told to be wrong, and knows what a snapshot knows afterwards."""
        refreshed = self.sync.refreshed()
        assert refreshed is not None or not due
        if refreshed is not None:
            assert not refreshed.wrong

    def publish(self, each: Diff) -> None:
        """What is published is true, and connects to what was published before it."""
        assert self.sync.in_sync
        assert each in self.delivered
        assert each.first_update_id <= self.published + 1
        self.published = each.last_update_id

    @invariant()
    def a_book_in_sync_is_the_true_book_up_to_its_horizon(self) -> None:
        if not self.sync.in_sync:
            return
        book = self.sync.book
        for side, (known, got) in enumerate(zip((book.bids, book.asks), book.levels(), strict=True)):
            true = self.levels(book.last_update_id, side)
            end = known.horizon
            assert got == [each for each in true if end is None or (each[0] >= end if side == 0 else each[0] <= end)]
            assert len(got) <= WINDOW
            assert known.knows(len(true)) is (end is None or len(got) == len(true))


TestFeed = Feed.TestCase

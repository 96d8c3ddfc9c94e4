"""The documented procedure against a model that knows every update ever made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest import book_sync
from ingest.book_sync import BookSync
from ingest.events import Depth, Diff, Rejected
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


def test_a_market_that_left_the_known_levels_is_noticed() -> None:
    sync = BookSync("S")
    bids = [(100.0 - n, 1.0) for n in range(60)]
    asks = [(101.0 + n, 1.0) for n in range(60)]
    sync.on_depth(Depth(10, bids, asks, lowest_bid=41.0, highest_ask=160.0), 1)
    assert not sync.shallow()
    sync.on_diff(diff(11, 11, bids=[(100.0 - n, 0.0) for n in range(25)] + [(5.0, 1.0), (4.0, 1.0)]), 1)
    assert not BookSync.shallow(synced())
    sync.on_diff(diff(12, 12, bids=[(9.0 - n, 1.0) for n in range(3)]), 1)
    assert sync.shallow()


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=80, unique=True))
def test_a_book_the_exchange_sent_whole_is_never_shallow(prices: list[float]) -> None:
    sync = BookSync("S")
    sync.on_depth(Depth(1, [(price, 1.0) for price in prices], []), 1)
    assert not sync.shallow()


class Feed(RuleBasedStateMachine):
    """A market, a feed that loses, repeats and stalls, REST snapshots of any age, and the books they lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.sync = BookSync("S")
        self.history = [(dict(START[0]), dict(START[1]))]  # the true book after each update, by id
        self.touched: list[tuple[int, float] | None] = [None]  # side and price of each update, by id
        self.sent = 0  # newest update id the feed has come to
        self.delivered: list[Diff] = []

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

    def newest(self) -> int:
        return len(self.history) - 1

    def change(self, first: int, last: int) -> Diff:
        """What the exchange says of these updates: the state after the last of every level they touched."""
        touched = {each for each in self.touched[first : last + 1] if each}
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

    @rule(data=st.data())
    def snapshot(self, data: st.DataObject) -> None:
        update_id = data.draw(st.integers(max(0, self.newest() - 4), self.newest()))
        bids, asks = (list(side.items()) for side in self.history[update_id])
        published = self.sync.on_depth(Depth(update_id, bids, asks), 1)
        if update_id >= self.sent:
            assert self.sync.in_sync, "a snapshot as new as the feed always brings the book into sync"
        for each, _ in published or []:
            self.publish(each)

    def receive(self, each: Diff) -> None:
        if self.sync.on_diff(each, 1):
            self.publish(each)

    def publish(self, each: Diff) -> None:
        """What is published is true, and connects to the book that was true before it."""
        assert self.sync.in_sync
        assert each in self.delivered

    @invariant()
    def a_book_in_sync_is_the_true_book(self) -> None:
        if self.sync.in_sync:
            book = self.sync.book
            for got, true in zip(book.levels(), self.history[book.last_update_id], strict=True):
                assert dict(got) == {price: quantity for price, quantity in true.items() if quantity}


TestFeed = Feed.TestCase

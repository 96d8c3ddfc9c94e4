"""Recorded entries by id and by receive time, across the slices that are loaded at once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.recorded_entries import SLICE_MS, Id, RecordedDiffs, RecordedTrades
from tests.tasks.recorded_world import S, Tables
from tickfence.recordings.kinds import Kind

IDS = st.tuples(st.integers(0, 40).map(lambda number: number * SLICE_MS // 10), st.integers(0, 3))


def trades(ids: list[Id], delays: list[int]) -> list[dict[str, object]]:
    values = {"symbol": S, "price": 1.0, "quantity": 1.0, "is_buy": True}
    return [
        values | {"time_ms": ms, "trade_id": number, "received_ms": ms + delay}
        for (ms, number), delay in zip(ids, delays, strict=True)
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ids=st.sets(IDS, max_size=30).map(sorted), after=IDS, upto=IDS, count=st.integers(0, 9), data=st.data())
def test_entries_are_found_by_id_and_by_receive_time(
    ids: list[Id], after: Id, upto: Id, count: int, data: st.DataObject
) -> None:
    delays = data.draw(st.lists(st.integers(0, 500), min_size=len(ids), max_size=len(ids)))
    recorded = RecordedTrades(Tables({Kind.TRADES: trades(ids, delays)}), S, 0)
    found = [RecordedTrades.entry_id(trade) for trade in recorded.between(after, upto)]
    assert found == [each for each in ids if after < each <= upto]
    newest = [RecordedTrades.entry_id(trade) for trade in recorded.newest(upto, count, after[0])]
    within = [each for each in ids if (after[0], 0) <= each <= upto]
    assert newest == within[max(0, len(within) - count) :]
    at_ms = upto[0] + 250
    received = [RecordedTrades.entry_id(trade) for trade in recorded.received(after, at_ms)]
    behind = [(each, each[0] + delay) for each, delay in zip(ids, delays, strict=True) if each > after]
    late = next((place for place, (_, received_ms) in enumerate(behind) if received_ms > at_ms), len(behind))
    assert received == [each for each, _ in behind[:late]]


def test_a_diff_has_its_levels_in_their_order() -> None:
    levels = {"bid_prices": [9.0, 8.0], "bid_quantities": [1.0, 0.0], "ask_prices": [], "ask_quantities": []}
    ids = {"symbol": S, "time_ms": 5, "first_update_id": 6, "last_update_id": 7, "received_ms": 8, "trades": 1}
    other = ids | {"time_ms": 9, "bid_prices": [], "bid_quantities": [], "ask_prices": [3.5], "ask_quantities": [4.5]}
    [one, two] = RecordedDiffs(Tables({Kind.DIFFS: [ids | levels, levels | other]}), S, 0).between((0, 0), (9, 9))
    assert (one.bids, one.asks, one.trades) == ([(9.0, 1.0), (8.0, 0.0)], [], 1)
    assert (two.time_ms, two.bids, two.asks) == (9, [], [(3.5, 4.5)])

"""Values come back from a recording as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics import basis as bases_of
from tickfence.analytics.history_row import FIELDS, HistoryRow
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.queries import FIELDS as ASKED
from tickfence.recordings.schemas import SCHEMAS, in_order
from tickfence.streams.codec import DiffEntry, Snapshot, SymbolInfo, Ticker, TradeEntry, TradesUpTo

SYMBOL = "BTCUSDT"
times = st.integers(0, 2**43)
ids = st.integers(0, 2**62)
positive = st.floats(1e-18, 1e18)
levels = st.lists(st.tuples(positive, st.floats(0, 1e18)), max_size=5)
some = st.none() | positive


@given(
    st.lists(
        st.builds(TradeEntry, times, ids, positive, positive, st.booleans(), times, st.integers(1, 99)), max_size=4
    )
)
def test_trades(entries: list[TradeEntry]) -> None:
    assert rows.trades(rows.table(Kind.TRADES, [rows.trade(SYMBOL, entry) for entry in entries])) == entries


@given(
    st.lists(st.builds(DiffEntry, times, ids, ids, levels, levels, times, st.sampled_from(TradesUpTo)), max_size=6),
    st.integers(0, 3),
)
def test_diffs(entries: list[DiffEntry], skipped: int) -> None:
    table = rows.table(Kind.DIFFS, [rows.diff(SYMBOL, entry) for entry in entries])
    found = rows.diffs(table)
    assert found == entries
    assert all(type(each.trades) is TradesUpTo for each in found)
    assert rows.diffs(table.slice(skipped)) == entries[skipped:]


@given(
    st.lists(
        st.builds(
            Snapshot,
            last_update_id=ids,
            stream_id=st.just("5-7"),
            bids=levels,
            asks=levels,
            lowest_bid=some,
            highest_ask=some,
            told=st.none() | st.integers(1, 1_000),
            time=times,
        ),
        max_size=3,
    )
)
def test_snapshots(books: list[Snapshot]) -> None:
    assert rows.snapshots(rows.table(Kind.SNAPSHOTS, [rows.snapshot(SYMBOL, book) for book in books])) == books


@given(st.lists(st.builds(Ticker, some, some, some, some, some, times), max_size=3))
def test_tickers(values: list[Ticker]) -> None:
    assert rows.tickers(rows.table(Kind.TICKERS, [rows.ticker(SYMBOL, each) for each in values])) == values


@given(
    st.lists(st.tuples(times, st.builds(SymbolInfo, some, some, st.sampled_from(["trading", None]), ids)), max_size=3)
)
def test_infos(rules: list[tuple[int, SymbolInfo]]) -> None:
    assert rows.infos(rows.table(Kind.INFOS, [rows.info(SYMBOL, *each) for each in rules])) == rules


def test_history_and_its_fields() -> None:
    row = HistoryRow(time_ms=5, token=7, health=99.5, walls=0, severity="high", mid_price=1.5, status="ok")
    assert rows.history(rows.table(Kind.HISTORY, [rows.history_row(SYMBOL, "9-1", row)])) == [row]
    assert set(FIELDS) == {"time_ms", *ASKED}
    assert tuple(name for name in SCHEMAS[Kind.HISTORY].names if name not in ("symbol", "stream_id")) == FIELDS


def test_bases() -> None:
    made = bases_of.Basis(
        bases_of.VERSION,
        kind=bases_of.Kind.REPORT,
        number=3,
        at_ms=77,
        owner="node-001/1",
        token=5,
        inputs=bases_of.Inputs("5-6", "5-7", 1, 1, 70, 70, None, None, None, 0.01, "trading", None, None, None, 1, 2),
        digest=b"x" * 16,
    )
    table = rows.table(Kind.BASES, [rows.basis(SYMBOL, "80-0", bases_of.encode(made))])
    assert rows.bases(table) == [made]
    assert table.drop_columns("data").to_pylist() == [
        {"symbol": SYMBOL, "time_ms": 77, "stream_id": "80-0", "kind": "report"}
    ]
    with pytest.raises(ValueError, match="not a basis"):
        rows.basis(SYMBOL, "80-0", b"\xc1")


def test_events() -> None:
    fields = {"kind": "node", "reason": "joined", "name": "币"}
    table = rows.table(Kind.EVENTS, [rows.event("1764151200000-3", fields)])
    assert rows.events(table) == [("1764151200000-3", fields)]
    assert table["time_ms"].to_pylist() == [1764151200000]


def test_a_stream_keeps_its_order() -> None:
    places = ["9-0", "9-2", "9-10", "10-1"]  # as text, the order is another one, and the clock was set back
    jumbled = [(places[i], 100 - i) for i in (3, 1, 2, 0)]
    table = rows.table(Kind.EVENTS, [(at_ms, name, "{}") for name, at_ms in jumbled])
    assert in_order(Kind.EVENTS, table)["id"].to_pylist() == places
    trades = [("B", 1, 1), ("A", 2, 9), ("A", 2, 10), ("A", 1, 11)]
    table = rows.table(Kind.TRADES, [(symbol, at, number, 1.0, 1.0, True, at, 1) for symbol, at, number in trades])
    found = in_order(Kind.TRADES, table)
    assert list(zip(*found.select(["symbol", "time_ms", "trade_id"]).to_pydict().values(), strict=True)) == sorted(
        trades
    )


@pytest.mark.parametrize("kind", Kind)
def test_no_rows(kind: Kind) -> None:
    table = rows.table(kind, [])
    assert len(in_order(kind, table)) == 0 and table.schema == SCHEMAS[kind]

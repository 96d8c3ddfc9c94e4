"""Rows and bases that a node appends: when, with which writes, and never with one that was refused."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tasks.reporter import Progress, Reporter
from tasks.symbol_events import Kind as What
from tests.tasks.answers import HELD, INFO, KEYS, NOW_MS, TICKER, Node, S, diff, snapshot, trade
from tickfence.analytics import basis
from tickfence.analytics.basis import Basis, Kind
from tickfence.analytics.history_row import HistoryRow, unpack
from tickfence.coordination.lease import Write, Written

PERIOD_MS = 250

FAR = [*TICKER[:5], b"1e30"]
"""A ticker whose time of receipt no basis can hold; the report can do with it."""


def rows(write: Write | None) -> list[HistoryRow]:
    """The rows that a write appends."""
    assert write is not None
    return [unpack(entry.value) for entry in write.entries if entry.key == KEYS.history(S)]


def bases(write: Write | None) -> list[Basis]:
    """The bases that a write appends."""
    assert write is not None
    return [basis.decode(entry.value) for entry in write.entries if entry.key == KEYS.basis(S)]


def cycle(node: Node, at_ms: int, outcome: Written | None = Written.WRITTEN, *, slow: bool = False) -> Write:
    """One cycle ``at_ms`` after the snapshot, with this outcome; ``None`` where the reply is lost."""
    compute = Reporter.sections if slow else Reporter.report
    node.read(now_s=at_ms / 1000, lease=HELD)
    values = node.reporter.compute(compute, NOW_MS + at_ms, at_ms / 1000)
    assert values is not None
    write = node.reporter.write(values)
    if outcome is not None:
        node.reporter.written(write, outcome, at_ms / 1000)
    return write


def test_a_row_a_second_says_what_the_report_says() -> None:
    node = Node().start(ticker=TICKER, trades=[trade(1)])
    writes = [cycle(node, PERIOD_MS * number) for number in range(1, 17)]
    made = [row for write in writes for row in rows(write)]
    assert len(made) == 4
    assert [later.time_ms - row.time_ms for row, later in pairwise(made)] == [1000] * 3
    [write] = [write for write in writes if rows(write) == made[-1:]]
    report = json.loads(write.values[KEYS.report(S)])
    row = made[-1]
    assert (row.time_ms, row.token) == (report["updatedAt"], report["writer"]["writerToken"])
    assert (row.mid_price, row.last_price) == (report["mid_price"], report["last_price"])
    assert row.spread_bps == pytest.approx(report["spread_bps"], rel=1e-5)
    depth = report["depth"]
    assert [row.bid_qty, row.ask_qty, row.imbalance] == [
        depth[f] for f in ("total_bid_qty", "total_ask_qty", "imbalance")
    ]
    assert (row.health, row.status) == (report["health"]["score"], report["ingestion"]["status"])


def test_findings_are_counted_once_there_are_any() -> None:
    levels = [(99.0 - n / 10, 1.0) for n in range(30)] + [(90.0, 500.0)]
    node = Node().start(snapshot=snapshot(bids=levels))
    first = rows(cycle(node, 1000))[0]
    assert (first.walls, first.vacuums, first.anomalies, first.severity) == (None, None, None, None)
    cycle(node, 1250, slow=True)
    write = cycle(node, 2000)
    [row], report = rows(write), json.loads(write.values[KEYS.report(S)])
    assert (row.walls, row.vacuums) == (1, len(report["liquidity"]["vacuums"]))
    assert (row.anomalies, row.severity) == (1, report["anomalies"][0]["severity"])


def test_what_a_report_was_made_from_comes_with_every_fourth_row() -> None:
    node = Node().start()
    node.read(now_s=0.9, new=([trade(2, 800)], [diff(11, at_ms=900)]))
    writes = [cycle(node, 1000 * number) for number in range(1, 9)]
    assert [len(rows(write)) for write in writes] == [1] * 8
    given = [bases(write) for write in writes]
    assert [len(each) for each in given] == [0, 0, 0, 1] * 2
    [made_from] = given[3]
    data = writes[3].values[KEYS.report(S)]
    assert (made_from.kind, made_from.number, made_from.at_ms) == (Kind.REPORT, 1, NOW_MS + 4000)
    assert (made_from.owner, made_from.token) == ("node-001/a", 100)
    assert made_from.digest == basis.report_digest(data)
    inputs = made_from.inputs
    assert (inputs.trades_id, inputs.book_id) == (f"{NOW_MS + 800}-2", f"{NOW_MS + 900}-11")
    assert (inputs.trades, inputs.diffs) == (2, 1)
    assert (inputs.started_ms, inputs.fresh_ms) == (NOW_MS, NOW_MS)
    assert (inputs.tick_size, inputs.trading, inputs.slow_at) == (0.01, "trading", None)
    assert (inputs.book_ms, inputs.trade_ms) == (NOW_MS + 900, NOW_MS + 800)


def test_the_first_basis_names_the_members_of_the_report() -> None:
    node = Node()
    node.read(snapshot=snapshot(), info=INFO)
    write = node.compute()
    assert write is not None
    start, made_from = bases(write)
    assert (start.kind, made_from.kind) == (Kind.START, Kind.REPORT)
    assert made_from.members == basis.members(write.values[KEYS.report(S)])


def test_a_start_tells_what_it_found() -> None:
    old = Node().start(book=[diff(11), diff(12)], trades=[trade(1), trade(2)])
    left = old.compute(slow=True)
    assert left is not None
    carried, sections = left.values[KEYS.carry(S)], left.values[KEYS.slow(S)]
    [slow] = bases(left)
    assert (slow.kind, slow.number, slow.digest, slow.carry) == (
        *(Kind.SLOW, 2),
        basis.digest(sections),
        basis.digest(carried),
    )
    new = Node()
    new.read(
        snapshot=snapshot(12),
        info=INFO,
        book=[diff(11), diff(12)],
        trades=[trade(1), trade(2)],
        carry=carried,
        slow=sections,
    )
    start = bases(new.compute())[0].start
    assert start is not None
    assert (start.reason, start.fresh, start.before.update_id) == ("first", True, 0)
    assert (start.snapshot_id, start.snapshot_ms, start.book_from) == (12, NOW_MS, 0)
    assert (start.first_trade_id, start.first_diff_id) == (f"{NOW_MS}-1", f"{NOW_MS}-11")
    assert (start.carried, start.sections) == (basis.digest(carried), basis.digest(sections))


def test_a_start_of_a_book_in_use_tells_what_was_there() -> None:
    node = Node().start()
    assert node.read(new=([], [diff(14)])) is Progress.AGAIN
    assert node.read(lease=HELD, snapshot=snapshot(20), info=INFO) is Progress.READY
    start, *_ = bases(node.compute())
    assert start.start is not None
    assert (start.start.reason, start.start.fresh, start.start.before.update_id) == ("gap", False, 10)
    assert start.number == 2


def test_what_changed_the_state_waits_for_a_write_that_is_accepted() -> None:
    node = Node().start()
    refused = cycle(node, 100, Written.FENCED, slow=True)
    assert [each.kind for each in bases(refused)] == [Kind.SLOW]
    cycle(node, 2000, Written.FENCED, slow=True)
    write = cycle(node, 2250)
    assert [each.number for each in bases(write) if each.kind is Kind.SLOW] == [2, 3]
    assert [each for each in bases(cycle(node, 2500)) if each.kind is Kind.SLOW] == []


def test_the_row_of_a_refused_write_is_made_up_for_by_the_next_and_that_of_a_lost_reply_is_not() -> None:
    node = Node().start()
    assert len(rows(cycle(node, 1000, Written.FENCED))) == 1
    assert len(rows(cycle(node, 1001))) == 1
    assert len(rows(cycle(node, 2000, None))) == 1
    assert rows(cycle(node, 2001)) == []


@pytest.mark.parametrize("outcome", [Written.FENCED, Written.WRITTEN])
def test_slow_sections_give_no_second_row(outcome: Written) -> None:
    node = Node().start()
    assert len(rows(cycle(node, 1000))) == 1
    assert rows(cycle(node, 1001, outcome, slow=True)) == []
    assert rows(cycle(node, 1002)) == []


def test_a_clock_that_steps_back_does_not_stop_history_and_lost_streams_begin_beyond_what_was_seen() -> None:
    node = Node().start()
    for at_ms, beyond in ((9000, False), (7000, False), (1000, True), (9500, False)):
        write = cycle(node, at_ms)
        assert len(rows(write)) == 1
        assert {entry.least_ms > NOW_MS + 9000 + 30_000 for entry in write.entries} == {beyond}


def told(node: Node, kind: What) -> list[str]:
    """What a node told of something that is missing."""
    return [event.detail for event in node.events if event.kind is kind]


def test_a_row_that_cannot_be_made_costs_the_row_alone_and_is_tried_once_an_interval() -> None:
    node = Node().start()
    early = -NOW_MS - 10_000  # a row holds no time before 1970
    first, second = cycle(node, early), cycle(node, early + 1)
    for write in (first, second):
        assert KEYS.report(S) in write.values
    assert rows(first) == rows(second) == []
    later = [cycle(node, early + 1000 * number) for number in range(1, 4)]
    assert [each.kind for write in later for each in bases(write)] == [Kind.REPORT], "what else there is goes on"
    assert told(node, What.NO_ROW) == ["OverflowError: can't convert negative int to unsigned"] * 4
    assert len(rows(cycle(node, 3000))) == 1


def test_a_basis_that_cannot_be_made_costs_the_basis_alone_and_leaves_its_number_out() -> None:
    node = Node()
    node.read(snapshot=snapshot(), info=INFO, ticker=FAR, trades=[trade(1)])
    write, slow = node.compute(), node.compute(slow=True)
    assert write is not None and KEYS.report(S) in write.values and len(rows(write)) == 1
    assert slow is not None and KEYS.slow(S) in slow.values
    assert [each.kind for each in bases(write)] == [Kind.START], "which knew of no ticker yet"
    assert [each.kind for each in bases(slow)] == [Kind.START], "it waits for a write that is accepted"
    assert len(told(node, What.NO_BASIS)) == 2
    node.read(now_s=3.0, lease=HELD, ticker=TICKER)
    *_, later = bases(cycle(node, 4000, slow=True))
    assert (later.kind, later.number) == (Kind.SLOW, 3)

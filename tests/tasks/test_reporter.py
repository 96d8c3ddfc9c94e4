"""One symbol's cycles as tables of replies: what it asks for, what it writes, and what it tells of every fault."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ReadOnlyError

from tasks.reporter import Compute, Progress, Reporter
from tasks.symbol_events import Event, Kind
from tests.tasks.answers import (
    CONFLICT,
    HELD,
    INFO,
    KEYS,
    NOW_MS,
    STALE,
    TICKER,
    WRONG_TYPE,
    Node,
    S,
    diff,
    snapshot,
    trade,
)
from tickfence.coordination.lease import NoLease, Written
from tickfence.coordination.owner import Owner
from tickfence.streams.read import READ_LIMIT, TRADES_LIMIT

EARLIER, EARLIER_DIFF = trade(0, at_ms=-60_000), diff(10, at_ms=-60_000)
"""With these a cold start knows that it has all trades of the last minute."""

READ = ["XREAD"]
COLD = ["GET", "GET", "GET", "XREVRANGE", "XREVRANGE", "HMGET", "HMGET"]


def names(node: Node) -> list[str]:
    return [command[0] for command in node.asked]


def test_a_cold_start_asks_for_the_lease_and_for_everything_and_then_for_what_is_new() -> None:
    node = Node()
    streams = {"book": [EARLIER_DIFF, diff(11)], "trades": [EARLIER, trade(1)]}
    assert node.read(snapshot=snapshot(), info=INFO, **streams) is Progress.READY
    assert names(node) == ["EVALSHA", *COLD]
    assert [event[:3] for event in node.events] == [(Kind.LEASE_TAKEN, S, ""), (Kind.COLD_START, S, "first")]
    assert node.report()["best_bid"] == {"price": 99.5, "qty": 11.0}
    node.write()
    assert node.read(new=([trade(2)], [diff(12)])) is Progress.READY
    assert names(node) == [*READ, "HMGET"], "an accepted write has renewed the lease; the ticker was not there"
    read = (KEYS.trades(S), KEYS.book(S), f"{NOW_MS}-1", f"{NOW_MS}-11")
    assert node.asked[0] == ("XREAD", "COUNT", READ_LIMIT, "STREAMS", *read)
    report = node.report()
    assert report["best_bid"]["qty"] == 12.0
    assert report["flow"]["net_flow"] == 1.0


def test_each_write_has_the_token_and_a_number_of_its_own() -> None:
    node = Node()
    node.read(snapshot=snapshot(), info=INFO)
    for number in range(101, 104):
        write = node.compute()
        assert write is not None
        assert (write.lease, write.token, write.seq, write.basis) == (KEYS.lease(S), 100, number, 10)
        node.reporter.written(write, Written.WRITTEN, 0.0)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({}, Kind.NO_SNAPSHOT),
        ({"snapshot": snapshot(), "book": [diff(13)]}, Kind.NO_SNAPSHOT),
        ({"snapshot": snapshot(bids=[(101.5, 1.0)])}, Kind.CROSSED),
    ],
    ids=["no snapshot", "snapshot that does not connect", "crossed"],
)
def test_what_cannot_be_trusted_is_withheld_and_read_again_from_the_snapshot(
    answers: dict[str, Any], kind: Kind
) -> None:
    node = Node()
    assert node.read(**answers) is Progress.READY
    assert node.compute() is None
    assert node.kinds[-1] is kind
    assert node.read(lease=HELD, snapshot=snapshot(15), book=[diff(16)]) is Progress.READY
    assert names(node) == ["EVALSHA", *COLD], "without a write the lease is asked for"
    assert node.report()["best_bid"]["qty"] == 16.0


@pytest.mark.parametrize(
    ("new", "reason", "kinds"),
    [
        (([], [diff(14)]), "gap", [Kind.GAP]),
        (([], [diff(number) for number in range(11, 11 + READ_LIMIT)]), "behind", []),
        (([trade(number) for number in range(2, 2 + READ_LIMIT)], []), "behind", []),
        (([], [diff(2, at_ms=2_001)]), "renumbered", [Kind.RENUMBERED]),
    ],
    ids=["gap", "many diffs", "many trades", "renumbered"],
)
def test_after_a_warm_read_in_doubt_the_snapshot_is_read_in_the_same_cycle(
    new: Any, reason: str, kinds: list[Kind]
) -> None:
    node = Node().start()
    assert node.read(new=new) is Progress.AGAIN
    assert node.kinds == kinds
    assert node.read(lease=HELD, snapshot=snapshot(2000, bids=[(99.9, 1.0)]), info=INFO) is Progress.READY
    assert names(node) == ["EVALSHA", *COLD]
    assert node.events[-1] == Event(Kind.COLD_START, S, reason)
    assert node.report()["best_bid"]["price"] == 99.9


def test_a_snapshot_that_does_not_bridge_the_gap_yet_costs_this_cycle() -> None:
    node = Node().start()
    assert node.read(new=([], [diff(14)])) is Progress.AGAIN
    assert node.read(lease=HELD, snapshot=snapshot(), book=[diff(14)]) is Progress.READY
    assert node.report() is None
    assert node.kinds == [Kind.GAP, Kind.COLD_START, Kind.GAP, Kind.NO_SNAPSHOT]


DEEP = [(100.0 - n, 1.0 + n % 3) for n in range(60)]


def without_best(count: int) -> list[tuple[float, float]]:
    return [(price, 0.0) for price, _ in DEEP[:count]]


def test_a_book_near_its_horizon_is_loaded_again_at_most_once_a_second_and_no_report_is_lost() -> None:
    node = Node().start(snapshot=snapshot(bids=DEEP, lowest_bid=41.0))
    node.read(new=([], [diff(11, bids=without_best(19))]), now_s=1.0)
    node.write(now_s=1.0)
    node.read(new=([], []), now_s=2.0)
    assert names(node)[0] == "XREAD", "41 levels are known: more than a report shows twice over"
    node.write(now_s=2.0)
    node.read(new=([], [diff(12, bids=without_best(30))]), now_s=3.0)
    assert len(node.report()["depth"]["bids"]) == 20
    node.write(now_s=3.0)
    shallow = {"snapshot": snapshot(12, bids=DEEP[30:], lowest_bid=41.0), "info": INFO}
    assert node.read(**shallow, now_s=3.25) is Progress.READY
    assert names(node) == COLD
    assert node.events == [Event(Kind.COLD_START, S, "horizon")]
    assert node.report()["best_bid"]["price"] == 70.0
    node.write(now_s=3.25)
    node.read(now_s=4.0)
    assert names(node)[0] == "XREAD"
    node.write(now_s=4.0)
    node.read(
        snapshot=snapshot(12, bids=[*DEEP[30:], *((40.0 - n, 1.0) for n in range(20))], lowest_bid=21.0), now_s=4.25
    )
    assert names(node) == COLD
    node.write(now_s=4.25)
    node.read(now_s=6.0)
    assert names(node)[0] == "XREAD"


def test_no_report_is_made_from_fewer_levels_than_the_exchange_has() -> None:
    node = Node().start(snapshot=snapshot(bids=DEEP, lowest_bid=41.0))
    assert node.read(new=([], [diff(11, bids=without_best(41))])) is Progress.READY
    assert node.compute() is None
    assert node.kinds == [Kind.HORIZON]
    shallow = {"snapshot": snapshot(11, bids=DEEP[41:], lowest_bid=41.0), "info": INFO}
    node.read(lease=HELD, **shallow)
    assert names(node) == ["EVALSHA", *COLD]
    assert node.compute() is None
    node.read(lease=HELD, snapshot=snapshot(11, bids=[*DEEP[41:], (40.5, 7.0)], lowest_bid=40.5))
    assert [level["qty"] for level in node.report()["depth"]["bids"]][-1] == 7.0


def test_a_side_that_is_known_to_its_end_may_be_short() -> None:
    node = Node().start(snapshot=snapshot(bids=DEEP[:60]))
    node.read(new=([], [diff(11, bids=without_best(57))]))
    assert [level["price"] for level in node.report()["depth"]["bids"]] == [43.0, 42.0, 41.0]


def test_level_changes_remain_when_a_book_in_order_is_loaded_again() -> None:
    node = Node().start(snapshot=snapshot(bids=DEEP, lowest_bid=41.0))
    diffs = [diff(number, bids=[(80.0, float(number))], at_ms=number) for number in (11, 12, 13)]
    node.read(new=([], [diffs[0], diff(12, bids=without_best(30))]), now_s=1.0)
    changes = node.reporter.warm.state.changes
    node.write(now_s=1.0)
    node.read(snapshot=snapshot(13, bids=DEEP[30:], lowest_bid=41.0), book=[diffs[0], diff(12), diffs[2]], now_s=2.0)
    node.reporter.warm.state.fold()
    assert names(node) == COLD
    assert changes.columns[3].tolist() == [11.0, *[0.0] * 30, 13.0]


def test_a_book_that_ingest_found_wrong_is_loaded_again_in_the_same_cycle() -> None:
    node = Node().start(info=[None] * 4, book=[diff(11), diff(12)])
    marked = [*INFO[:3], b"12"]
    assert node.read(info=marked, rules=True) is Progress.AGAIN
    node.read(lease=HELD, info=marked, snapshot=snapshot(11), book=[diff(11), diff(12)])
    assert node.compute() is None, "the corrected one is not there yet"
    assert node.kinds == [Kind.NO_SNAPSHOT]
    node.read(lease=HELD, info=marked, snapshot=snapshot(12, bids=[(99.9, 1.0)]), book=[diff(11), diff(12)])
    assert node.events[-1] == Event(Kind.COLD_START, S, "audit")
    assert node.report()["best_bid"]["price"] == 99.9
    assert not node.reporter.warm.state.changes.columns.size


@pytest.mark.parametrize("marked_late", [False, True])
def test_of_a_wrong_book_nothing_is_left_although_it_had_every_update_of_the_right_one(marked_late: bool) -> None:
    node, marked = Node().start(book=[diff(11), diff(12)]), [*INFO[:3], b"12"]
    node.write(slow=True)
    node.reporter.warm.invalidate("horizon")
    right = {"snapshot": snapshot(12, bids=[(99.9, 1.0)]), "book": [diff(11), diff(12)], "lease": HELD}
    if marked_late:
        node.read(info=INFO, **right)
        assert node.read(info=marked, rules=True) is Progress.AGAIN
    node.read(info=marked, **right)
    report = node.report()
    assert report["best_bid"]["price"] == 99.9
    assert not {"liquidity", "anomalies"} & report.keys()
    assert not node.reporter.warm.state.changes.columns.size
    assert node.read(info=marked, rules=True) is Progress.READY


def test_a_new_owner_takes_nothing_over_that_a_wrong_book_gave() -> None:
    old, new = Node().start(book=[diff(number) for number in range(11, 31)]), Node()
    write = old.compute(slow=True)
    assert write is not None
    left = {"slow": write.values[KEYS.slow(S)], "carry": write.values[KEYS.carry(S)]}
    new.read(snapshot=snapshot(30), info=[*INFO[:3], b"30"], lease=[b"taken", 200, 200], **left)
    state = new.reporter.warm.state
    assert len(state.quantities) == 22, "quantities are what the exchange told"
    assert not state.changes.columns.size
    assert "liquidity" not in new.report()


def test_a_mark_from_before_the_exchange_started_its_ids_again_stops_nothing() -> None:
    node = Node().start(info=[*INFO[:3], b"9000"], book=[diff(11)])
    node.read(new=([], [diff(12)]))
    assert node.report()["best_bid"]["qty"] == 12.0


@pytest.mark.parametrize("at_ms", [0, 2_000])
def test_a_copy_of_an_update_that_comes_a_little_later_is_no_renumbering(at_ms: int) -> None:
    node = Node().start(book=[diff(11)])
    assert node.read(new=([], [diff(11, at_ms=at_ms)])) is Progress.READY
    assert node.kinds == []


def test_windows_start_again_with_a_renumbered_book() -> None:
    node = Node().start(trades=[trade(1), trade(2)])
    node.read(new=([trade(3)], [diff(2, at_ms=10_000)]))
    earlier, earlier_diff = trade(2, at_ms=-60_000), diff(1, at_ms=-60_000)
    node.read(lease=HELD, snapshot=snapshot(2), trades=[earlier, trade(3)], book=[earlier_diff, diff(2), diff(3)])
    assert node.report()["flow"]["net_flow"] == 0.5
    assert node.reporter.warm.state.observed_update_id == 3


def test_streams_that_were_lost_show_as_a_gap_with_the_next_diff() -> None:
    node = Node().start()
    assert node.read(new=([], [])) is Progress.READY
    node.write()
    assert node.read(new=([trade(9)], [diff(19)])) is Progress.AGAIN
    assert node.kinds == [Kind.GAP]


def test_trades_are_not_counted_twice_after_a_gap() -> None:
    trades = [trade(number, at_ms=number - 10) for number in range(1, 5)]
    node = Node().start(trades=[EARLIER, *trades[:2]], book=[EARLIER_DIFF])
    node.read(new=(trades[2:3], [diff(14, at_ms=-8)]))
    node.read(lease=HELD, snapshot=snapshot(20), trades=trades)
    assert node.report()["flow"]["net_flow"] == 2.0


def test_a_reader_too_far_behind_starts_as_a_new_owner_does() -> None:
    node = Node().start()
    node.read(new=([], [diff(14)]))
    many = [trade(number, at_ms=-1000) for number in range(2, TRADES_LIMIT + 2)]
    assert node.read(lease=HELD, snapshot=snapshot(20), trades=many) is Progress.READY
    assert node.compute() is None
    assert node.read(lease=HELD, snapshot=snapshot(20), trades=many) is Progress.READY
    assert len(node.reporter.warm.state.trades) == TRADES_LIMIT
    node.write()
    assert node.read(older=[trade(1, at_ms=-1000)]) is Progress.READY
    assert names(node) == ["XREVRANGE", "XREAD"]
    assert len(node.reporter.warm.state.trades) == TRADES_LIMIT + 1


BAD = [
    {"snapshot": b"{}"},
    {"snapshot": WRONG_TYPE},
    {"book": [(b"1-11", {b"rubbish": b"x"})]},
    {"book": WRONG_TYPE},
    {"trades": [(b"1-1", {b"rubbish": b"x"})]},
    {"trades": WRONG_TYPE},
    {"ticker": WRONG_TYPE},
    {"info": WRONG_TYPE},
    {"slow": WRONG_TYPE},
    {"carry": WRONG_TYPE},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_key_that_is_not_what_ingest_writes_stops_the_cycle_and_the_next_one_starts_cold(bad: dict[str, Any]) -> None:
    node = Node()
    assert node.read(**{"snapshot": snapshot(), "info": INFO} | bad) is Progress.STOPPED
    assert node.kinds == [Kind.LEASE_TAKEN, Kind.BAD_ENTRY]
    assert node.read(lease=HELD, snapshot=snapshot(), info=INFO) is Progress.READY
    assert names(node) == ["EVALSHA", *COLD]
    assert node.events[-1] == Event(Kind.COLD_START, S, "bad entry")


def test_a_key_that_stays_so_does_not_cost_a_cold_read_in_every_cycle() -> None:
    node = Node()
    bad = {"snapshot": snapshot(), "trades": [(b"1-1", {b"rubbish": b"x"})], "lease": HELD}
    for cycle in range(40):
        assert node.read(now_s=cycle / 4, **bad) is Progress.STOPPED
    assert node.kinds.count(Kind.BAD_ENTRY) == 7
    assert node.kinds.count(Kind.PAUSE) == 33


@pytest.mark.parametrize("bad", [{"new": WRONG_TYPE}, {"new": ([], [(b"1-11", {})])}, {"ticker": WRONG_TYPE}], ids=str)
def test_so_does_one_under_a_warm_book(bad: dict[str, Any]) -> None:
    node = Node().start()
    assert node.read(**bad) is Progress.STOPPED
    assert node.kinds == [Kind.BAD_ENTRY]
    node.read(lease=HELD, snapshot=snapshot(), info=INFO)
    assert names(node) == ["EVALSHA", *COLD]


@pytest.mark.parametrize("left", [{"slow": b"{}"}, {"carry": b"rubbish"}], ids=str)
def test_what_another_version_left_is_told_and_not_needed(left: dict[str, Any]) -> None:
    node = Node()
    assert node.read(snapshot=snapshot(), info=INFO, **left) is Progress.READY
    assert Kind.NOT_TAKEN_OVER in node.kinds
    assert node.report()


@pytest.mark.parametrize("what", ["lease", "slow", "carry", "snapshot", "book", "trades", "ticker", "info"])
def test_an_error_of_the_server_is_raised_and_is_no_fault_of_the_symbol(what: str) -> None:
    node = Node()
    loading = ReadOnlyError("READONLY You can't write against a read only replica.")
    with pytest.raises(ReadOnlyError):
        node.read(**{"snapshot": snapshot(), "info": INFO, what: loading})
    assert Kind.BAD_ENTRY not in node.kinds
    assert Kind.BAD_LEASE not in node.kinds
    assert node.read(snapshot=snapshot(), info=INFO) is Progress.READY
    assert node.report()


def test_replies_that_never_came_are_asked_for_again() -> None:
    node = Node().start()
    node.reporter.read(1, 0, 0.0)  # and the connection broke
    assert node.read(lease=HELD, new=([trade(2)], [diff(11)])) is Progress.READY
    assert names(node) == ["EVALSHA", "XREAD", "HMGET"]
    assert node.report()["best_bid"]["qty"] == 11.0


@pytest.mark.parametrize(
    ("grant", "event"),
    [
        (STALE, Event(Kind.LEASE_STALE, S, "", 200)),
        (CONFLICT, Event(Kind.LEASE_CONFLICT, S, "node-002/b", 200)),
    ],
)
def test_a_lease_that_another_owner_holds_ends_the_symbol_here(grant: list[Any], event: Event) -> None:
    node = Node().start()
    assert node.read(generation=2, lease=grant, new=([], [diff(11)])) is Progress.MOVED
    assert node.events == [event]
    assert node.reporter.warm.state.book.last_update_id == 10, "what was read is not taken"


def test_a_message_of_an_older_assignment_keeps_the_state_of_its_own_newer_lease() -> None:
    node = Node().start()
    assert node.read(generation=2, lease=[b"stale", 100, 101]) is Progress.STOPPED


def test_a_key_that_holds_no_lease_stops_the_symbol_and_keeps_its_book() -> None:
    node = Node().start()
    assert node.read(generation=2, lease=WRONG_TYPE) is Progress.STOPPED
    [event] = node.events
    assert (event.kind, event.detail) == (Kind.BAD_LEASE, f"{KEYS.lease(S)}: {WRONG_TYPE}")
    assert node.read(generation=2, lease=HELD, new=([], [diff(11)])) is Progress.READY


@pytest.mark.parametrize("outcome", [Written.FENCED, Written.OLD])
def test_a_lease_lost_since_its_renewal_is_asked_for_at_once_and_one_just_granted_was_taken(outcome: Written) -> None:
    node = Node().start()
    assert node.read() is Progress.READY
    assert node.write(outcome) is Progress.AGAIN
    assert node.kinds == []
    assert node.read(lease=[b"taken", 300, 300]) is Progress.READY
    assert names(node)[0] == "EVALSHA"
    assert node.write(outcome) is Progress.STOPPED
    assert [event[:2] for event in node.events] == [(Kind.LEASE_TAKEN, S), (Kind.FENCED, S)]
    assert node.events[-1].token == 300


def test_a_lease_asked_for_while_a_gap_was_bridged_was_asked_for() -> None:
    node = Node().start()
    assert node.read(new=([], [diff(14)])) is Progress.AGAIN
    assert node.read(lease=HELD, snapshot=snapshot(20)) is Progress.READY
    assert node.write(Written.FENCED) is Progress.STOPPED


def test_the_number_of_a_write_whose_outcome_is_unknown_is_not_used_again() -> None:
    node = Node().start()
    lost = node.compute()
    node.read(lease=[b"held", 100, 101])
    write = node.compute()
    assert lost is not None and write is not None
    assert write.seq == lost.seq + 1


def test_what_a_new_owner_starts_with_is_written_again_until_a_write_of_it_is_accepted() -> None:
    node = Node().start()
    for outcome, now_s in (
        (Written.FENCED, 0.0),
        (Written.WRITTEN, 1.0),
        (Written.WRITTEN, 5.9),
        (Written.WRITTEN, 6.0),
    ):
        write = node.compute(now_s, slow=True)
        assert write is not None and KEYS.slow(S) in write.values
        assert (KEYS.carry(S) in write.values) is (now_s != 5.9)
        node.reporter.written(write, outcome, now_s)


def test_the_next_owner_starts_with_what_this_one_left() -> None:
    old, new = Node().start(book=[diff(number) for number in range(11, 31)]), Node()
    write = old.compute(slow=True)
    assert write is not None
    left = {"slow": write.values[KEYS.slow(S)], "carry": write.values[KEYS.carry(S)]}
    new.read(snapshot=snapshot(30), info=INFO, trades=[trade(1)], lease=[b"taken", 200, 200], **left)
    assert Kind.NOT_TAKEN_OVER not in new.kinds
    windows = [node.reporter.warm.state.quantities.oldest_first().tolist() for node in (old, new)]
    assert windows[0] == windows[1]
    assert new.reporter.warm.state.slow is not None


def asked_for(node: Node) -> set[str]:
    """The keys of the last read."""
    return {command[1] for command in node.asked}


@pytest.mark.parametrize("key", [KEYS.ticker(S), KEYS.info(S)])
def test_what_changes_seldom_is_asked_for_every_two_seconds(key: str) -> None:
    node = Node().start(ticker=TICKER)
    for now_s, asked in ((1.9, False), (2.0, True), (3.9, False), (4.0, True)):
        node.read(now_s=now_s, lease=HELD, info=INFO, ticker=TICKER)
        assert (key in asked_for(node)) is asked


def test_a_cycle_that_computes_with_the_rules_reads_them_first() -> None:
    node = Node().start()
    node.read(now_s=0.5, rules=True, info=[b"0.5", b"1", b"halted", None])
    assert (node.reporter.warm.state.tick_size, node.reporter.warm.state.trading) == (0.5, "halted")
    node.read(now_s=2.4)
    assert KEYS.info(S) not in asked_for(node)


def test_the_statistics_of_24_hours_are_replaced_and_each_number_counts_by_itself() -> None:
    node = Node().start(ticker=TICKER)
    partial = [None, b"0", b"123", b"one", b"0.00000000", b"%d" % NOW_MS]
    assert node.read(now_s=2.0, lease=HELD, ticker=partial) is Progress.READY
    report = node.report()
    assert (report["change_24h_pct"], report["high_24h"], report["volume_24h"]) == (0.0, 123.0, 0.0)
    assert "low_24h" not in report
    assert node.reporter.warm.state.ticker == (None, 0.0, 123.0, None, 0.0, NOW_MS)
    node.read(now_s=4.0, lease=HELD, ticker=[None] * 6)
    assert node.reporter.warm.state.ticker is not None, "lost, and not yet written again: its age tells"


def test_rules_that_are_not_known_yet_are_not_missed_and_those_that_were_lost_stay() -> None:
    node = Node().start(info=[None] * 4)
    assert node.events == []
    for now_s, info in ((2.0, INFO), (4.0, [None] * 4)):
        node.read(lease=HELD, info=info, now_s=now_s)
        assert (node.reporter.warm.state.tick_size, node.reporter.warm.state.trading) == (0.01, "trading")


@pytest.mark.parametrize(
    "text", [b"", b"0.00000000", b"1e-320", b"-0.01", b"nan", b"inf", b"tick", b"\xff", None], ids=repr
)
def test_without_a_tick_size_there_is_no_profile_but_a_report_and_one_line_about_it(text: bytes | None) -> None:
    trades = [trade(number, at_ms=number - 100) for number in range(20)]
    node = Node()
    info = [text, b"0.001", b"trading", None]
    assert node.read(snapshot=snapshot(), info=info, trades=trades, ticker=TICKER) is Progress.READY
    assert node.write(slow=True) is Progress.READY
    assert "volume_profile" not in node.report()["liquidity"]
    for now_s in (2.0, 4.0):
        assert node.read(now_s=now_s, info=info, ticker=TICKER) is Progress.READY
    assert node.kinds.count(Kind.NO_TICK_SIZE) == 1


def test_a_changed_tick_size_gives_the_profile_of_a_node_that_starts_now() -> None:
    trades = [trade(number, at_ms=number * 20_000 - 2_400_000) for number in range(1, 121)]
    book = [diff(10, at_ms=-2_400_000)]
    old = Node().start(trades=trades, book=book)
    new = Node()
    old.write(slow=True)
    info = [b"0.001", b"0.001", b"trading", None]
    old.read(now_s=1.0, rules=True, info=info)
    new.read(now_s=1.0, info=info, snapshot=snapshot(), trades=trades, book=book)
    profiles = []
    for node in (old, new):
        assert node.write(slow=True) is Progress.READY
        profiles.append(node.report()["liquidity"]["volume_profile"])
    assert profiles[0] == profiles[1]
    assert profiles[0]["POC"] == 100.2525


@pytest.mark.parametrize("word", [b"TRADING", b"AUCTION_MATCH", b"", None], ids=repr)
def test_a_word_that_says_nothing_is_no_status(word: bytes | None) -> None:
    node = Node().start(info=[b"0.01", b"0.001", word, None])
    assert node.reporter.warm.state.trading is None
    assert node.report()


def test_what_another_version_wrote_more_of_is_ignored() -> None:
    more = snapshot().replace(b'{"last', b'{"depthLimit":1000,"lowest":{"bid":1},"last')
    node = Node()
    assert node.read(snapshot=more, info=INFO) is Progress.READY
    assert node.report()


def test_trades_do_not_make_a_book_younger() -> None:
    node = Node().start()
    node.read(new=([trade(2, at_ms=10_000)], []))
    state = node.reporter.warm.state
    assert state.book_stopped
    assert state.last_update_ms == state.book_update_ms
    node.read(lease=HELD, new=([], [diff(11, at_ms=10_000)]))
    assert not state.book_stopped


def failed(node: Node, now_s: float, values: Compute | None = None) -> Node:
    """The node after a cycle that ended with an exception."""
    node.read(now_s=now_s, lease=HELD, snapshot=snapshot())
    node.reporter.fail(KeyError("x"), now_s, values)
    return node


def test_after_an_error_nothing_half_done_is_left_and_the_lease_is_kept() -> None:
    node = failed(Node().start(trades=[trade(1), trade(2)]), now_s=1.0)
    event = node.events[-1]
    assert (event.kind, event.detail, type(event.error)) == (Kind.ERROR, "KeyError: 'x'", KeyError)
    assert node.compute() is None, "a state that is not read yet gives no report"
    streams = {"book": [EARLIER_DIFF], "trades": [EARLIER, trade(1)]}
    assert node.read(lease=HELD, now_s=1.1, snapshot=snapshot(), info=INFO, **streams) is Progress.READY
    assert names(node) == ["EVALSHA", *COLD]
    assert node.events[-1] == Event(Kind.COLD_START, S, "error")
    assert node.report()["flow"]["net_flow"] == 0.5


def test_what_keeps_failing_is_read_after_ever_longer_pauses_and_the_lease_asked_for_in_every_cycle() -> None:
    node, pauses = failed(Node().start(), 0.0), [0.0]
    now_s = last_s = 0.0
    while len(pauses) < 9:
        progress = node.read(now_s=now_s, lease=HELD, snapshot=snapshot())
        assert names(node)[0] == "EVALSHA"
        if progress is Progress.READY:
            node.reporter.fail(KeyError("x"), now_s)
            pauses.append(now_s - last_s)
            last_s = now_s
        else:
            assert (progress, names(node), node.kinds[-1]) == (Progress.STOPPED, ["EVALSHA"], Kind.PAUSE)
        now_s += 0.25
    assert pauses == [0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]


def test_what_cannot_be_computed_stops_nothing_else() -> None:
    node = Node().start()
    for now_s in (2.0, 2.1):
        failed(node, now_s, Reporter.sections)
    assert node.read(lease=HELD, now_s=2.2, snapshot=snapshot()) is Progress.READY
    assert node.compute(2.2, slow=True) is None
    assert node.kinds[-1] is Kind.PAUSE
    assert node.report()
    assert node.compute(2.4, slow=True), "the pause is over"


def test_another_owner_is_noticed_in_a_pause() -> None:
    node = Node().start()
    for _ in range(2):
        failed(node, now_s=0.0)
    assert node.read(lease=CONFLICT) is Progress.MOVED


def test_without_coordination_no_lease_is_asked_for_and_the_token_is_1() -> None:
    node = Node(NoLease(KEYS.lease(S), Owner("node-001", "a")))
    assert node.read(generation=0, now_s=7.0, snapshot=snapshot()) is Progress.READY
    assert names(node) == COLD
    assert node.report()["writer"] == {"nodeId": "node-001", "writerToken": 1}
    assert node.reporter.lease.held_at == 7.0


def test_the_time_from_the_exchange_is_told_once_of_each_newest_event() -> None:
    node = Node().start(book=[diff(11, at_ms=-40)])
    node.reporter.compute(Reporter.report, NOW_MS + 10, 0.0)
    assert node.reporter.news_age_ms() is None, "another node may have told of it"
    assert node.read(new=([trade(2, at_ms=100)], [])) is Progress.READY
    node.reporter.compute(Reporter.report, NOW_MS + 260, 0.0)
    assert node.reporter.news_age_ms() == 160
    node.reporter.compute(Reporter.report, NOW_MS + 510, 0.0)
    assert node.reporter.news_age_ms() is None, "nothing new"


def test_the_age_of_the_data_is_that_of_the_computation() -> None:
    node = Node().start(book=[diff(11, at_ms=-40)], trades=[trade(1, at_ms=-30)])
    node.reporter.compute(Reporter.report, NOW_MS + 125, 0.0)
    assert node.reporter.data_age_ms == 155, "that of the trade: it is newer than the diff"

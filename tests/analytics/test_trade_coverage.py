"""Since when trades are complete, against the history that the exchange really had."""

from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics.trade_coverage import NEVER, TradeCoverage
from tickfence.analytics.trade_window import TradeWindow

Trades = list[tuple[int, int]]
"""Id and time of each."""
Diffs = list[tuple[int, int, int] | tuple[int, int, int, bool, bool]]
"""First and last update id, and time, of each; whether trades are held, and whether it starts a connection."""


def started(trades: Trades = (), diffs: Diffs = ()) -> TradeCoverage:
    """What a node claims that finds these in the streams."""
    coverage = TradeCoverage()
    coverage.begin()
    read(coverage, trades, diffs)
    return coverage


def read(coverage: TradeCoverage, trades: Trades = (), diffs: Diffs = ()) -> int:
    for diff in diffs:
        coverage.add_diff(*diff)
    coverage.add_trades([trade_id for trade_id, _ in trades], [time_ms for _, time_ms in trades])
    return coverage.after_ms


def test_without_ids_all_are_there_and_with_them_none_until_they_are_seen() -> None:
    window = TradeWindow()
    assert window.complete_after_ms == 0
    assert window.covers(0)
    window.coverage.begin()
    assert window.complete_after_ms == NEVER
    assert not window.covers(10**14)


def test_the_trades_of_a_stream_are_complete_from_its_oldest_on() -> None:
    coverage = started([(7, 100), (8, 150), (9, 300)], [(1, 3, 250)])
    assert coverage.after_ms == 100


def test_ids_that_skip_some_start_again_and_the_last_time_counts() -> None:
    coverage = started([(7, 100), (9, 150), (10, 200), (13, 250), (14, 300)], [(1, 3, 260)])
    assert coverage.after_ms == 250
    assert read(coverage, [(16, 400)]) == 400


def test_ids_from_the_start_again_start_again() -> None:
    coverage = started([(7, 100), (8, 150)], [(1, 3, 120)])
    assert read(coverage, [(1, 400), (2, 500)]) == 400


def test_after_a_break_only_the_very_next_id_proves_that_nothing_was_missed() -> None:
    for next_id, after_ms in ((9, 100), (10, 900)):
        coverage = started([(7, 100), (8, 150)], [(1, 3, 140), (4, 5, 240)])
        assert coverage.after_ms == 100
        assert read(coverage, diffs=[(9, 9, 700), (10, 12, 800)]) == NEVER
        assert read(coverage, [(next_id, 900)]) == after_ms


def test_of_a_symbol_that_has_not_traded_nothing_is_covered() -> None:
    coverage = started(diffs=[(1, 3, 200), (4, 4, 300)])
    assert coverage.after_ms == NEVER
    assert read(coverage, [(50, 1_000), (51, 1_100)]) == 1_000


def test_update_ids_from_the_start_again_start_a_run() -> None:
    coverage = started([(7, 100), (8, 150)], [(11, 13, 140)])
    assert read(coverage, diffs=[(11, 13, 140), (1, 2, 240)]) == NEVER


def test_nothing_is_covered_while_trades_are_held_back() -> None:
    coverage = started([(7, 100), (8, 150)], [(1, 3, 140)])
    assert read(coverage, diffs=[(4, 4, 240, True, False)]) == NEVER
    assert read(coverage, [(9, 200), (10, 230)], [(5, 5, 340, True, False)]) == NEVER, "of 11, and 12 is lost"
    assert read(coverage, [(11, 260)], [(6, 6, 440, False, False)]) == 100


def test_the_first_diff_of_a_connection_proves_nothing_of_before_though_its_ids_connect() -> None:
    coverage = started([(7, 100), (8, 150)], [(1, 3, 140)])
    assert read(coverage, diffs=[(4, 4, 240, False, True), (5, 5, 340)]) == NEVER
    assert read(coverage, [(9, 400)]) == 100


def test_diffs_that_are_read_again_or_overlap_are_no_break() -> None:
    coverage = started([(7, 100)], [(1, 3, 90), (4, 8, 190)])
    assert read(coverage, diffs=[(1, 3, 90), (4, 8, 190), (7, 10, 290)]) == 100


def test_a_new_owner_needs_the_diffs_to_reach_back_to_the_newest_trade() -> None:
    trades, diffs = [(7, 100), (8, 150)], [(30, 35, 5_000), (36, 36, 5_100)]
    assert started(trades, diffs).after_ms == NEVER
    for seen_id, after_ms in ((29, 100), (31, 100), (28, NEVER)):
        coverage = TradeCoverage()
        coverage.begin()
        coverage.resume(seen_id, 120)
        assert read(coverage, trades) == NEVER, "diffs may have been missed since"
        assert read(coverage, diffs=diffs) == after_ms


def test_older_trades_extend_the_coverage_as_far_as_they_connect() -> None:
    coverage = started([(20, 2_000), (21, 2_100)], [(1, 1, 2_050)])
    assert coverage.add_older_trades([17, 18, 19], [1_700, 1_800, 1_900])
    assert coverage.after_ms == 1_700
    assert not coverage.add_older_trades([12, 14, 15, 16], [1_200, 1_400, 1_500, 1_600])
    assert not coverage.add_older_trades([10, 11], [1_000, 1_100])
    assert coverage.after_ms == 1_400


def test_a_trade_that_stands_for_several_follows_by_its_first_number() -> None:
    coverage = TradeCoverage()
    coverage.begin()
    coverage.add_diff(1, 2, 100)
    coverage.add_trades([20, 23, 24], [2_000, 2_300, 2_400], [1, 3, 1])
    assert coverage.after_ms == 2_000
    assert coverage.add_older_trades([17, 19], [1_700, 1_900], [1, 2])
    assert coverage.after_ms == 1_700
    coverage.add_trades([28], [2_800], [3])
    assert coverage.after_ms == 2_800, "25 is missing"


def test_trades_that_are_not_kept_are_not_covered() -> None:
    window = TradeWindow(max_trades=2)
    window.extend([1, 2, 3], [1.0] * 3, [1.0] * 3, [True] * 3)
    assert window.complete_after_ms == 1
    assert not window.covers(0)
    assert window.covers(1)


EVENTS = st.lists(
    st.sampled_from(
        [
            "trade",
            "trade",
            "change",
            "window",
            "window",
            "cut",
            "open",
            "fetch",
            "go",
            "go",
            "read",
            "take over",
            "carry",
        ]
    ),
    min_size=10,
    max_size=200,
)


@given(EVENTS, st.integers(1, 6))
def test_what_is_covered_is_always_true(events: list[str], kept_diffs: int) -> None:
    """Trades and diffs come while a connection is open; a diff tells the updates of the time since the one before."""
    time_ms, trade_id, update_id, window_starts_at = 1_000, 0, 0, 1
    connected, reconnected = True, True
    true: Trades = []
    trades: Trades = []  # the streams, which nodes read
    diffs: Diffs = []
    missing: Trades = []  # since the newest in the stream
    held: Trades = []
    fetches = False
    coverage, read_trades, read_diffs = started(), 0, 0
    carried = (-1, NEVER)
    for event in events:
        time_ms += 1
        if event == "trade":
            trade_id, update_id = trade_id + 1, update_id + 1
            true.append((trade_id, time_ms))
            if not connected:
                if not held:
                    missing.append(true[-1])
            elif held or missing:
                held.append(true[-1])
            else:
                trades.append(true[-1])
        elif event == "go" and held:
            trades += [*missing, *held] if fetches else held
            missing, held = [], []
        elif event == "change":
            update_id += 1
        elif event == "window":
            if connected and update_id >= window_starts_at:
                diffs.append((window_starts_at, update_id, time_ms, bool(held), reconnected))
                reconnected = False
            window_starts_at = update_id + 1
        elif event in ("cut", "open"):
            reconnected = reconnected or (event == "open" and not connected)
            connected = event == "open"
        elif event == "fetch":
            fetches = not fetches
        elif event == "carry":
            carried = (coverage.update_id, coverage.connected_ms)
        elif event == "take over":
            coverage, read_trades, read_diffs = TradeCoverage(), len(trades), len(diffs)
            coverage.begin()
            coverage.resume(*carried)
            read(coverage, trades, diffs[-kept_diffs:])
        elif event == "read":
            read(coverage, trades[read_trades:], diffs[read_diffs:])
            read_trades, read_diffs = len(trades), len(diffs)
        # What happened after the newest diff that was read, the node cannot know yet.
        until_ms = diffs[read_diffs - 1][2] if read_diffs else 0
        known = [trade for trade in trades[:read_trades] if coverage.after_ms < trade[1] <= until_ms]
        assert known == [trade for trade in true if coverage.after_ms < trade[1] <= until_ms]
        traded = read_diffs and read_trades and trades[read_trades - 1][1] >= diffs[0][2]
        if traded and "cut" not in events and "take over" not in events:
            assert coverage.after_ms == trades[0][1]

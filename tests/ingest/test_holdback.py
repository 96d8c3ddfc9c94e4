"""Which trades wait for the ones before them, and for how long: on a clock that the test sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.buffer import Entry
from ingest.holdback import (
    ASK_EVERY_S,
    ASK_MAXIMUM,
    MAXIMUM_WAIT_S,
    SHORT_FOR_S,
    SHORT_STANDSTILL_S,
    STANDSTILL_S,
    Holdback,
)

SYMBOL, OTHER = "BTCUSDT", "ETHUSDT"


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


def trade(number: int, symbol: str = SYMBOL) -> Entry:
    return Entry(symbol, False, 1_000 + number, number, b"trade")


def top(number: int) -> tuple[int, int]:
    return (1_000 + number, number)


def newest(one: Holdback, number: int, symbol: str = SYMBOL) -> tuple[int, list[int]]:
    """How many are missing, and which trades go, when the stream's newest is found to be ``number``."""
    missing = one.on_newest(symbol, top(number))
    return missing, [entry.sequence for entry in one.released()]


def holding(time: Time, limit: int = 100) -> Holdback:
    """A queue in which the trade 10 waits for those behind 3, since now."""
    one = Holdback(limit, time)
    one.expect(SYMBOL, 3, top(10))
    assert one.take([trade(10)]) == []
    return one


def test_trades_wait_until_the_one_before_them_is_there() -> None:
    one = holding(Time())
    assert one.take([trade(11)]) == []
    assert newest(one, 8) == (0, [])
    assert (one.take([trade(12)]), len(one)) == ([], 3)
    assert newest(one, 9) == (0, [10, 11, 12])
    assert not one.has_gaps
    assert not len(one)
    assert one.take([trade(14)]) == [trade(14)]


def test_a_stream_that_is_not_there_is_not_waited_for() -> None:
    one = holding(Time())
    assert one.on_newest(SYMBOL, None) == 0
    assert one.released() == [trade(10)]


def test_neither_books_nor_other_symbols_nor_what_came_before_wait() -> None:
    one = holding(Time())
    diff = Entry(SYMBOL, True, 1_011, 11, b"diff")
    assert one.take([trade(7), diff, trade(11, OTHER), trade(11)]) == [trade(7), diff, trade(11, OTHER)]


def test_a_stream_that_stands_still_is_given_up_and_says_how_many_are_missing() -> None:
    time = Time()
    one = holding(time)
    assert newest(one, 4) == (0, [])
    time.passes(STANDSTILL_S * 0.9)
    assert newest(one, 4) == (0, [])
    time.passes(STANDSTILL_S * 0.2)
    assert newest(one, 4) == (5, [10])


def test_what_this_process_knows_is_not_missing() -> None:
    time = Time()
    one = holding(time)
    time.passes(STANDSTILL_S)
    assert newest(one, 1) == (6, [10])  # 4 to 9: 2 and 3 it has appended, or Redis lost them


def test_a_quiet_symbol_waits_while_another_stream_grows() -> None:
    time = Time()
    one = holding(time)
    one.expect(OTHER, 3, top(100))
    one.take([trade(100, OTHER)])
    for number in range(3):
        assert newest(one, 4) == newest(one, number, OTHER) == (0, [])
        time.passes(STANDSTILL_S * 0.9)


def test_a_stream_that_grows_is_waited_for_but_not_without_end() -> None:
    time = Time()
    one = holding(time)
    for number in range(8):
        assert newest(one, number) == (0, [])
        time.passes(MAXIMUM_WAIT_S / 8)
    assert newest(one, 8) == (1, [10])


def test_after_waiting_for_nothing_the_next_gap_is_waited_for_less_for_a_while() -> None:
    time = Time()
    one = holding(time)
    time.passes(STANDSTILL_S)
    newest(one, 4)
    for passed, patience in ((0.0, SHORT_STANDSTILL_S), (SHORT_FOR_S, STANDSTILL_S)):
        time.passes(passed)
        one.expect(SYMBOL, 10, top(20))
        assert one.take([trade(20)]) == []
        time.passes(patience * 0.9)
        assert newest(one, 10) == (0, [])
        time.passes(patience * 0.2)
        assert newest(one, 10) == (9, [20])


def test_what_lies_between_two_gaps_waits_for_the_first_alone() -> None:
    one = holding(Time())
    one.take([trade(11)])
    one.expect(SYMBOL, 11, top(15))
    assert one.take([trade(15)]) == []
    assert newest(one, 9) == (0, [10, 11])
    assert one.take([trade(16)]) == []
    assert newest(one, 14) == (0, [15, 16])


def test_a_stream_of_the_numbers_before_an_exchange_started_again_is_not_what_is_waited_for() -> None:
    one = holding(Time())
    assert one.on_newest(SYMBOL, (900, 5_000)) == 0
    assert one.released() == []
    assert one.on_newest(SYMBOL, (2_000, 5_000)) == 0
    assert one.released() == [trade(10)]


def test_time_without_redis_does_not_count() -> None:
    time = Time()
    one = holding(time)
    newest(one, 4)
    time.passes(60)
    again = one.disconnected()
    assert (again, len(one), one.take(again)) == ([trade(10)], 0, [])
    assert newest(one, 4) == (0, [])
    time.passes(STANDSTILL_S)
    assert newest(one, 4) == (5, [10])


def test_more_than_the_limit_does_not_wait() -> None:
    one = holding(Time(), limit=3)
    one.take([trade(11), trade(12)])
    assert one.released() == []
    assert one.take([trade(13)]) == []
    assert one.released() == [trade(10), trade(11), trade(12), trade(13)]
    assert not one.has_gaps


def test_the_end_of_a_stream_is_asked_for_while_something_waits_and_not_too_often() -> None:
    time = Time()
    one = Holdback(100, time)
    one.expect(SYMBOL, 3, top(10))
    assert one.to_ask() == []
    one.take([trade(10)])
    time.passes(ASK_EVERY_S)
    assert one.to_ask() == [SYMBOL]
    assert one.to_ask() == []
    time.passes(ASK_EVERY_S)
    assert one.to_ask() == [SYMBOL]


def test_of_very_many_streams_some_are_asked_for_at_a_time_and_each_in_turn() -> None:
    time = Time()
    one = Holdback(1_000, time)
    symbols = [f"S{number}" for number in range(3 * ASK_MAXIMUM)]
    for symbol in symbols:
        one.expect(symbol, 3, top(10))
        one.take([trade(10, symbol)])
    asked = []
    for _ in range(3):
        time.passes(ASK_EVERY_S)
        asked += one.to_ask()
    assert asked == symbols


def test_handed_over_it_waits_on_for_the_same() -> None:
    one, next_one = holding(Time()), Holdback(100, Time())
    entries = one.disconnected()
    one.hand_over(lambda _: next_one)
    assert not one.has_gaps
    assert next_one.take(entries) == []
    assert newest(next_one, 9) == (0, [10])


@given(
    missing=st.sets(st.integers(1, 20), max_size=8),
    others=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    cut=st.sets(st.integers(0, 40), max_size=3),
    passed=st.lists(st.sampled_from([0.0, 0.05, 0.5, 2.0]), min_size=40, max_size=40),
)
def test_none_is_lost_none_out_of_order_and_none_before_its_time(
    missing: set[int], others: list[int], cut: set[int], passed: list[float]
) -> None:
    """This process hears all trades but ``missing``, the other appends all, some at each look; connections break."""
    time, appended, received = Time(), 0, 0
    one = Holdback(1_000, time)
    went: list[int] = []
    given_up = False
    told = [number for number in range(1, 41) if number not in missing]
    waiting: list[Entry] = []
    for look, (number, more, seconds) in enumerate(zip(told, others, passed, strict=False)):
        if number > received + 1:
            one.expect(SYMBOL, received, top(number))
        received = number
        goes = one.take([*waiting, trade(number)])
        waiting = []
        for symbol in one.to_ask():
            given_up = one.on_newest(symbol, top(appended)) > 0 or given_up
        goes += one.released()
        for entry in goes:
            before = entry.sequence - 1
            assert given_up or before == 0 or before in went or appended >= before
            went.append(entry.sequence)
        if look in cut:
            waiting = one.disconnected()
        time.passes(seconds)
        appended += more
    went += [entry.sequence for entry in [*waiting, *one.disconnected()]]
    assert went == told[: len(went)]
    assert len(went) == min(len(others), len(told))

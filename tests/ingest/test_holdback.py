"""Which trades wait for the ones before them, and for how long: on a clock that the test sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.buffer import Entry
from ingest.holdback import ASK_EVERY_S, LONGEST_S, NOT_AGAIN_S, STANDSTILL_S, Holdback

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


def holding(time: Time) -> Holdback:
    """A queue in which the trade 10 waits for 9, since now."""
    one = Holdback(time)
    one.expect(SYMBOL, top(10), 9)
    assert one.take([trade(10)]) == []
    return one


def test_trades_wait_until_the_one_before_them_is_there() -> None:
    one = holding(Time())
    assert one.take([trade(11)]) == []
    assert one.saw(SYMBOL, top(8)) == 0
    assert (one.take([trade(12)]), len(one)) == ([], 3)
    assert one.saw(SYMBOL, top(9)) == 0
    assert one.take([trade(13)]) == [trade(10), trade(11), trade(12), trade(13)]
    assert not one
    assert one.take([trade(14)]) == [trade(14)]


def test_a_stream_that_is_not_there_is_not_waited_for() -> None:
    one = holding(Time())
    assert one.saw(SYMBOL, None) == 0
    assert one.take([]) == [trade(10)]


def test_neither_books_nor_other_symbols_nor_what_came_before_wait() -> None:
    one = holding(Time())
    diff = Entry(SYMBOL, True, 1_011, 11, b"diff")
    assert one.take([trade(7), diff, trade(11, OTHER), trade(11)]) == [trade(7), diff, trade(11, OTHER)]


def test_a_stream_that_stands_still_is_given_up_and_says_how_many_are_missing() -> None:
    time = Time()
    one = holding(time)
    assert one.saw(SYMBOL, top(4)) == 0
    time.passes(STANDSTILL_S * 0.9)
    assert one.saw(SYMBOL, top(4)) == 0
    assert one.take([]) == []
    time.passes(STANDSTILL_S * 0.2)
    assert one.saw(SYMBOL, top(4)) == 5
    assert one.take([]) == [trade(10)]


def test_a_stream_that_grows_is_waited_for_but_not_without_end() -> None:
    time = Time()
    one = holding(time)
    for number in range(8):
        assert one.saw(SYMBOL, top(number)) == 0
        time.passes(LONGEST_S / 8)
    assert one.take([]) == []
    assert one.saw(SYMBOL, top(8)) == 1
    assert one.take([]) == [trade(10)]


def test_after_waiting_in_vain_the_next_gap_is_taken_as_it_is_for_a_while() -> None:
    time = Time()
    one = holding(time)
    time.passes(LONGEST_S)
    one.saw(SYMBOL, top(4))
    one.take([])
    one.expect(SYMBOL, top(20), 19)
    assert one.take([trade(20)]) == [trade(20)]
    time.passes(NOT_AGAIN_S)
    one.expect(SYMBOL, top(30), 29)
    assert one.take([trade(30)]) == []


def test_a_second_gap_is_waited_for_with_the_first() -> None:
    one = holding(Time())
    one.expect(SYMBOL, top(15), 14)
    assert one.take([trade(15)]) == []
    one.saw(SYMBOL, top(9))
    assert one.take([]) == []
    one.saw(SYMBOL, top(14))
    assert one.take([]) == [trade(10), trade(15)]


def test_time_without_redis_does_not_count() -> None:
    time = Time()
    one = holding(time)
    one.saw(SYMBOL, top(4))
    time.passes(60)
    one.begin_anew()
    assert one.saw(SYMBOL, top(4)) == 0
    time.passes(STANDSTILL_S)
    assert one.saw(SYMBOL, top(4)) == 5


def test_the_end_of_a_stream_is_asked_for_while_something_waits_and_not_too_often() -> None:
    time = Time()
    one = Holdback(time)
    one.expect(SYMBOL, top(10), 9)
    assert one.to_ask() == []
    one.take([trade(10)])
    time.passes(ASK_EVERY_S)
    assert one.to_ask() == [SYMBOL]
    assert one.to_ask() == []
    time.passes(ASK_EVERY_S)
    assert one.to_ask() == [SYMBOL]


def test_handed_over_it_waits_on_for_the_same() -> None:
    one, next_one = holding(Time()), Holdback(Time())
    assert next_one.take(one.hand_over(lambda _: next_one)) == []
    assert not one
    assert next_one.saw(SYMBOL, top(9)) == 0
    assert next_one.take([]) == [trade(10)]


@given(
    first=st.integers(2, 12),
    others=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    passed=st.lists(st.sampled_from([0.0, 0.05, 0.5, 1.5]), min_size=30, max_size=30),
)
def test_none_is_lost_none_out_of_order_and_none_before_its_time(
    first: int, others: list[int], passed: list[float]
) -> None:
    """This process has the trades from ``first`` on, the other appends all from 0, some at each look."""
    time, appended = Time(), -1
    one = Holdback(time)
    one.expect(SYMBOL, top(first), first - 1)
    went: list[int] = []
    stood = waited = 0.0
    for number, (more, seconds) in enumerate(zip(others, passed, strict=False)):
        may_go = one.take([trade(first + number)])
        if may_go and not went:
            assert appended >= first - 1 or stood >= STANDSTILL_S or waited >= LONGEST_S
        went += [entry.sequence for entry in may_go]
        time.passes(seconds)
        stood, waited = (stood + seconds if not more else 0.0), waited + seconds
        appended += more
        if one and not went:
            one.saw(SYMBOL, top(appended) if appended >= 0 else (0, 0))
    time.passes(LONGEST_S)
    if one.to_ask():
        one.saw(SYMBOL, top(appended))
    went += [entry.sequence for entry in one.take([])]
    assert went == list(range(first, first + len(others)))

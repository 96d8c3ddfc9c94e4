"""Which trades wait for the ones before them, and for how long: on a clock that the test sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.events import Trade
from ingest.holdback import (
    ASK_EVERY_S,
    ASK_MAXIMUM,
    FETCH_AFTER_S,
    FETCH_AGAIN_S,
    FETCH_MAXIMUM,
    MAXIMUM_WAIT_S,
    ORDER_S,
    SHORT_FOR_S,
    SHORT_WAIT_S,
    STANDSTILL_S,
    Held,
    Holdback,
)

SYMBOL, OTHER = "BTCUSDT", "ETHUSDT"


def made(trade_id: int, symbol: str = SYMBOL, time_ms: int | None = None, count: int = 1) -> Trade:
    return Trade(symbol, 1_000 + trade_id if time_ms is None else time_ms, trade_id, "1", "1", True, count)


def top(trade_id: int) -> tuple[int, int]:
    return (1_000 + trade_id, trade_id)


class Waiting:
    """A holdback, its clock, and what it asked the exchange for. ``front`` is the newest trade that has gone."""

    def __init__(self, front: int = 3, limit: int = 10_000) -> None:
        self.now = 100.0
        self.front: dict[str, int] = {SYMBOL: front, OTHER: front}
        self.asked: list[tuple[str, int, int]] = []
        self.has_history = True
        self.holdback = Holdback(limit, self.ask, lambda: self.now)

    def ask(self, symbol: str, first_id: int, count: int) -> bool:
        self.asked.append((symbol, first_id, count))
        return self.has_history

    def passes(self, seconds: float) -> None:
        self.now += seconds + 1e-6  # not less for want of a last bit

    def came(self, *trade_ids: int, symbol: str = SYMBOL) -> list[int]:
        """Which trades go when these come."""
        return [
            number
            for trade_id in trade_ids
            for number in self.gone(self.holdback.add(self.front[symbol], Held(made(trade_id, symbol), 7)))
        ]

    def came_together(self, trade_id: int, count: int) -> list[int]:
        """Which trades go when one comes that stands for so many numbers."""
        return self.gone(self.holdback.add(self.front[SYMBOL], Held(made(trade_id, count=count), 7)))

    def gone(self, held: list[Held]) -> list[int]:
        for trade, _ in held:
            self.front[trade.symbol] = max(self.front[trade.symbol], trade.trade_id)
        return [trade.trade_id for trade, _ in held]

    def newest(self, trade_id: int, symbol: str = SYMBOL) -> tuple[list[int], int]:
        """Which trades go, and how many are missing, when the stream's newest is found to be this one."""
        held, missing = self.holdback.on_newest(symbol, top(trade_id))
        return self.gone(held), missing

    def fetched(self, *trade_ids: int) -> None:
        self.page(*trade_ids)
        self.page()

    def page(self, *trade_ids: int) -> None:
        self.holdback.on_fetched(SYMBOL, [made(trade_id) for trade_id in trade_ids], 8)


@pytest.fixture
def gap() -> Waiting:
    """The trade 10 waits for those behind 3, since now."""
    waiting = Waiting()
    assert waiting.came(10) == []
    return waiting


def test_trades_in_order_and_copies_do_not_wait() -> None:
    assert Waiting().came(4, 5, 6, 5) == [4, 5, 6, 5]


def test_trades_of_one_connection_go_in_order() -> None:
    assert Waiting(139).came(140, 145, 147, 143, 145, 141, 142, 144, 146) == [140, 141, 142, 143, 144, 145, 146, 147]


def test_a_trade_that_stands_for_several_follows_by_its_first_number() -> None:
    waiting = Waiting(front=3)
    assert waiting.came_together(6, 3) == [6]
    assert waiting.came_together(12, 4) == []
    assert waiting.came(8) == []
    assert waiting.came_together(7, 1) == [7, 8, 12]


def test_only_the_numbers_before_one_that_stands_for_several_are_fetched() -> None:
    waiting = Waiting(front=3)
    assert waiting.came_together(9, 3) == []
    waiting.passes(STANDSTILL_S)
    assert waiting.newest(3) == ([], 0)
    assert waiting.asked == [(SYMBOL, 4, 3)]
    waiting.fetched(4, 5, 6)
    assert waiting.newest(3) == ([4, 5, 6, 9], 0)
    assert waiting.came(9) == [9], "a copy"


def test_one_that_stands_for_several_is_in_the_stream_by_its_own_number() -> None:
    waiting = Waiting(front=3)
    assert waiting.came_together(9, 3) == []
    assert waiting.newest(9) == ([9], 0), "another ingest has appended it; Redis refuses the copy"


def test_redis_is_asked_only_when_the_connection_has_not_brought_them(gap: Waiting) -> None:
    gap.passes(ORDER_S * 0.9)
    assert gap.holdback.to_ask([SYMBOL]) == []
    gap.passes(ORDER_S * 0.2)
    assert gap.holdback.to_ask([OTHER]) == []
    assert gap.holdback.to_ask([SYMBOL, OTHER]) == [SYMBOL]
    assert gap.holdback.to_ask([SYMBOL, OTHER]) == []
    gap.passes(ASK_EVERY_S)
    assert gap.holdback.to_ask([SYMBOL, OTHER]) == [SYMBOL]


def test_trades_wait_until_the_one_before_them_is_in_the_stream(gap: Waiting) -> None:
    assert gap.came(11) == []
    assert gap.newest(8) == ([], 0)
    assert (gap.came(12), len(gap.holdback)) == ([], 3)
    assert gap.newest(9) == ([10, 11, 12], 0)
    assert not gap.holdback
    assert gap.newest(9) == ([], 0), "an answer that came too late"


def test_a_stream_that_is_not_there_is_not_waited_for() -> None:
    waiting = Waiting(-1)
    assert waiting.came(12, 10) == []
    assert waiting.gone(waiting.holdback.on_newest(SYMBOL, None)[0]) == [10]
    assert waiting.came(11) == [11, 12]
    assert waiting.asked == []


def test_other_symbols_do_not_wait(gap: Waiting) -> None:
    assert gap.came(4, symbol=OTHER) == [4]


def test_what_nobody_appends_is_fetched_and_goes_before_the_waiting_ones(gap: Waiting) -> None:
    gap.passes(STANDSTILL_S * 0.9)
    assert gap.newest(4) == ([], 0)
    assert gap.asked == []
    gap.passes(STANDSTILL_S * 0.2)
    assert gap.newest(4) == gap.newest(4) == ([], 0)
    assert gap.asked == [(SYMBOL, 5, 5)], "once"
    gap.fetched(5, 6, 7, 8, 9)
    held, missing = gap.holdback.on_newest(SYMBOL, top(4))
    assert [(trade.trade_id, received_ms) for trade, received_ms in held] == [*((n, 8) for n in range(5, 10)), (10, 7)]
    assert missing == 0


def test_what_this_process_has_passed_on_is_not_fetched_though_the_stream_has_it_not_yet(gap: Waiting) -> None:
    gap.passes(STANDSTILL_S)
    gap.newest(1)
    assert gap.asked == [(SYMBOL, 4, 6)]
    gap.fetched(*range(1, 10))
    assert gap.newest(1) == ([4, 5, 6, 7, 8, 9, 10], 0)


def test_a_stream_that_grows_is_waited_for_but_not_too_long(gap: Waiting) -> None:
    for number in range(1, 7):
        assert gap.newest(number) == ([], 0)
        assert gap.asked == []
        gap.passes(FETCH_AFTER_S / 6)
    gap.newest(7)
    assert gap.asked == [(SYMBOL, 8, 2)]


def test_a_quiet_symbol_waits_while_another_stream_grows(gap: Waiting) -> None:
    gap.came(100, symbol=OTHER)
    for number in range(3):
        assert gap.newest(4) == gap.newest(number, OTHER) == ([], 0)
        gap.passes(STANDSTILL_S * 0.9)
    assert gap.asked == []


def test_an_answer_that_does_not_connect_is_asked_for_again(gap: Waiting) -> None:
    gap.passes(STANDSTILL_S)
    gap.newest(4)
    gap.fetched(5, 6, 7)  # the exchange's history lags
    assert gap.newest(4) == ([], 0)
    gap.passes(FETCH_AGAIN_S)
    gap.newest(4)
    gap.fetched(6, 8, 9)
    gap.passes(FETCH_AGAIN_S)
    assert gap.newest(4) == ([], 0)
    assert gap.asked == [(SYMBOL, 5, 5), (SYMBOL, 5, 5), (SYMBOL, 5, 3)]
    gap.fetched(5, 6, 7)
    assert gap.newest(4) == ([5, 6, 7, 8, 9, 10], 0)


def test_the_pages_of_an_answer_are_taken_as_they_come(gap: Waiting) -> None:
    gap.passes(STANDSTILL_S)
    gap.newest(4)
    gap.page(8, 9)
    gap.passes(FETCH_AGAIN_S)
    assert gap.newest(4) == ([], 0)
    gap.page(6, 7)
    gap.passes(MAXIMUM_WAIT_S)
    assert gap.newest(4) == ([6, 7, 8, 9, 10], 1)
    assert len(gap.asked) == 1


def test_where_the_exchange_gives_no_trades_of_the_past_nobody_waits_for_them(gap: Waiting) -> None:
    gap.has_history = False
    gap.passes(STANDSTILL_S)
    assert gap.newest(4) == ([], 0)
    assert gap.newest(4) == ([10], 5)


def test_if_the_exchange_does_not_answer_the_trades_go_and_the_others_are_missing(gap: Waiting) -> None:
    gap.passes(STANDSTILL_S)
    gap.newest(1)
    gap.fetched()
    gap.passes(MAXIMUM_WAIT_S - STANDSTILL_S - 0.1)
    assert gap.newest(1) == ([], 0)
    gap.passes(0.2)
    assert gap.newest(1) == ([10], 6)  # 4 to 9: 2 and 3 this process has appended, or Redis lost them
    gap.fetched(4, 5, 6, 7, 8, 9)
    assert not gap.holdback, "too late"


def test_after_waiting_for_nothing_the_next_gap_is_waited_for_less_for_a_while(gap: Waiting) -> None:
    gap.passes(MAXIMUM_WAIT_S)
    gap.newest(4)
    for passed, patience, first in ((0.0, SHORT_WAIT_S, 20), (SHORT_FOR_S, MAXIMUM_WAIT_S, 30)):
        gap.passes(passed)
        assert gap.came(first) == []
        gap.passes(patience * 0.9)
        assert gap.newest(first - 10) == ([], 0)
        assert gap.asked.pop() == (SYMBOL, first - 9, 9), "also then the exchange is asked"
        gap.passes(patience * 0.2)
        assert gap.newest(first - 10) == ([first], 9)


def test_of_a_long_gap_the_newest_part_is_fetched() -> None:
    waiting = Waiting()
    first = 2 * FETCH_MAXIMUM
    waiting.came(first)
    waiting.passes(STANDSTILL_S)
    waiting.newest(4)
    assert waiting.asked == [(SYMBOL, first - FETCH_MAXIMUM, FETCH_MAXIMUM)]
    waiting.fetched(*range(first - FETCH_MAXIMUM, first))
    gone, missing = waiting.newest(4)
    assert (gone, missing) == (list(range(first - FETCH_MAXIMUM, first + 1)), first - FETCH_MAXIMUM - 5)


def test_each_gap_is_waited_for_on_its_own(gap: Waiting) -> None:
    gap.came(11)
    gap.passes(1)
    gap.came(15)
    assert gap.newest(9) == ([10, 11], 0)
    gap.passes(MAXIMUM_WAIT_S - 0.5)
    assert gap.newest(11) == ([], 0)
    gap.came(16)
    assert gap.newest(14) == ([15, 16], 0)


def test_numbers_from_the_start_again_do_not_wait_for_those_of_the_old_count(gap: Waiting) -> None:
    held = gap.holdback.add(3, Held(made(1, time_ms=9_000), 7))
    assert [trade.trade_id for trade, _ in held] == [10, 1]
    assert not gap.holdback


def test_a_stream_of_the_old_count_is_not_what_is_waited_for(gap: Waiting) -> None:
    assert gap.holdback.on_newest(SYMBOL, (900, 5_000)) == ([], 0)
    gap.passes(STANDSTILL_S)
    assert gap.holdback.on_newest(SYMBOL, (900, 5_000)) == ([Held(made(10), 7)], 0)
    assert gap.asked == []


def test_time_without_redis_does_not_count(gap: Waiting) -> None:
    gap.came(15)
    gap.passes(60)
    gap.holdback.on_connected([SYMBOL])
    assert gap.newest(9) == ([10], 0)
    assert gap.newest(10) == ([], 0)
    gap.passes(MAXIMUM_WAIT_S)
    assert gap.newest(10) == ([15], 4)


def test_more_than_the_limit_does_not_wait() -> None:
    waiting = Waiting(limit=3)
    assert waiting.came(10, 20, 21) == []
    assert waiting.came(11) == [10, 11, 20, 21]
    assert not waiting.holdback


def test_of_very_many_streams_some_are_asked_for_at_a_time_and_each_in_turn() -> None:
    waiting = Waiting()
    symbols = [f"S{number}" for number in range(3 * ASK_MAXIMUM)]
    for symbol in symbols:
        waiting.holdback.add(3, Held(made(10, symbol), 7))
    waiting.passes(ORDER_S)
    asked = []
    for _ in range(3):
        asked += waiting.holdback.to_ask(symbols)
        waiting.passes(ASK_EVERY_S)
    assert asked == symbols


@given(st.data())
def test_none_is_lost_none_out_of_order_and_none_waits_too_long(data: st.DataObject) -> None:
    """This process hears some trades, nearly in order; others append some of the rest, and the exchange tells some."""
    total = 30
    lost = data.draw(st.sets(st.integers(1, total), max_size=15))
    come = [number for number in data.draw(shuffled_a_little(total)) if number not in lost]
    waiting, stream, arrived = Waiting(0), 0, {}
    went: list[int] = []
    for number in [*come, *[0] * 40]:
        if number:
            arrived[number] = waiting.now
            went += waiting.came(number)
        else:
            waiting.passes(0.1)
        stream = max([stream, *went, data.draw(st.integers(0, total)) if data.draw(st.booleans()) else 0])
        for symbol in waiting.holdback.to_ask([SYMBOL]):
            before = list(went)
            gone, _ = waiting.newest(stream, symbol)
            went += gone
            if gone and gone[0] - 1 not in (*before, 0) and stream < gone[0] - 1:
                assert waiting.now - min(arrived.values()) >= STANDSTILL_S, "others may still have them"
        while waiting.asked:
            _, first_id, count = waiting.asked.pop()
            known = range(first_id, first_id + count)
            waiting.fetched(*(known if data.draw(st.booleans()) else known[data.draw(st.integers(0, count)) :]))
        for trade_id in went:
            arrived.pop(trade_id, None)
        assert all(waiting.now - at <= MAXIMUM_WAIT_S + 0.2 for at in arrived.values())
    assert went == sorted(went)
    assert set(come) <= set(went)
    assert not waiting.holdback


def shuffled_a_little(total: int) -> st.SearchStrategy[list[int]]:
    """1 to ``total``, each at most a few places away from its own."""
    return st.lists(st.floats(0, 4), min_size=total, max_size=total).map(
        lambda shifts: [number for _, number in sorted((at + shift, at) for at, shift in enumerate(shifts, 1))]
    )

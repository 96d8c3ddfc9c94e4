from hypothesis import given
from hypothesis import strategies as st

from ingest.buffer import Buffer, Entry
from ingest.pacing import Allowance, SnapshotSchedule
from ingest.stream_state import Place, StreamState


def test_ids_never_fall_though_the_exchange_s_clock_does() -> None:
    state = StreamState()
    ids = []
    for time_ms, sequence in ((100, 1), (95, 2), (97, 3), (101, 4)):
        assert state.place(time_ms, sequence) is Place.NEXT
        ids.append((state.time_ms, state.sequence))
    assert ids == [(100, 1), (100, 2), (100, 3), (101, 4)]


def test_a_copy_is_told_from_an_exchange_that_starts_again() -> None:
    state = StreamState()
    state.place(100, 10)
    assert state.place(100, 10) is Place.COPY
    assert state.place(90, 9) is Place.COPY
    assert state.place(200, 3) is Place.RESTART
    assert state.place(201, 4) is Place.NEXT


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50))))
def test_two_processes_make_the_same_ids_of_the_same_sequence(entries: list[tuple[int, int]]) -> None:
    first, second = StreamState(), StreamState()
    for time_ms, sequence in entries:
        assert first.place(time_ms, sequence) is second.place(time_ms, sequence)
        assert (first.time_ms, first.sequence) == (second.time_ms, second.sequence)


@given(st.lists(st.integers(1, 50)))
def test_new_ids_always_rise(times: list[int]) -> None:
    state, before = StreamState(), (0, 0)
    for sequence, time_ms in enumerate(times, start=1):
        state.place(time_ms, sequence)
        assert (state.time_ms, state.sequence) > before
        before = (state.time_ms, state.sequence)


def test_what_another_process_wrote_is_seen() -> None:
    state = StreamState()
    assert not state.reconcile((500, 20))
    assert state.place(400, 20) is Place.COPY
    assert state.place(450, 21) is Place.NEXT
    assert state.time_ms == 500


def test_a_stream_that_is_gone_or_shorter_was_lost() -> None:
    for top, lost in (((100, 10), False), ((101, 11), False), ((99, 9), True), (None, True)):
        state = StreamState()
        state.acknowledged = (100, 10)
        assert state.reconcile(top) is lost
        assert not state.reconcile(top), "told once"


def entry(number: int) -> Entry:
    return Entry("S", True, StreamState(), number, number, b"%d" % number)


@given(st.lists(st.sampled_from(["add", "take", "put back"])), st.integers(1, 5))
def test_the_buffer_keeps_order_and_its_bound(steps: list[str], limit: int) -> None:
    buffer, taken, gone, number = Buffer(limit), [], [], 0
    delivered = []
    for step in steps:
        if step == "add":
            number += 1
            if (old := buffer.add(entry(number))) is not None:
                gone.append(old.sequence)
        elif step == "take":
            delivered += [each.sequence for each in taken]
            taken = buffer.take(2)
        else:
            gone += [each.sequence for each in buffer.put_back(taken)]
            taken = []
        assert len(buffer) <= limit
    kept = delivered + [each.sequence for each in taken] + [each.sequence for each in buffer.take(limit)]
    assert sorted(kept + gone) == list(range(1, number + 1))
    assert kept == sorted(kept)


@given(st.integers(1, 40), st.lists(st.floats(0, 3), max_size=30))
def test_every_symbol_has_its_turn_once_an_interval(count: int, steps: list[float]) -> None:
    symbols = [f"S{number}" for number in range(count)]
    schedule, now, turns = SnapshotSchedule(symbols, 1.0, start=0.0), 0.0, []
    for step in steps:
        now += step
        due = schedule.due(now)
        assert len(due) == len(set(due))
        turns += due
    if all(step <= 0.9 for step in steps):
        assert turns == [symbols[turn % count] for turn in range(len(turns))]
        assert abs(len(turns) - now * count) <= 1


def test_an_allowance_is_kept_and_comes_back() -> None:
    allowance = Allowance(10, span_s=60.0)
    assert allowance.wait_s(10) == 0
    allowance.spend(8)
    assert allowance.wait_s(2) == 0
    assert 59 < allowance.wait_s(3) <= 60
    assert 59 < allowance.wait_s(1, share=0.8) <= 60
    assert Allowance(10, span_s=60.0).wait_s(1_000) == 0, "what can never fit goes when nothing else is used"


def test_what_the_exchange_counted_beats_our_own_count() -> None:
    allowance = Allowance(10, span_s=60.0)
    allowance.spend(1)
    allowance.observe(9)
    assert allowance.wait_s(1) == 0
    assert allowance.wait_s(2) > 0
    allowance.observe(3)
    assert allowance.wait_s(2) > 0, "an answer that was overtaken does not lower the count"

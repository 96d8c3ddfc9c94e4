"""Reports a second: what is shown is what was written, from the start and after a kill."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from tests.web.test_board import report
from tickfence.readers.reports import Head, decode_head
from tickfence.web.rates import Rates

PERIOD_MS = 250
START = 1_700_000_000_000


def head(at_ms: int, node: str = "a", token: int = 1) -> Head:
    return decode_head("X", report("X", START + at_ms, writer={"nodeId": node, "writerToken": token}))


def watched(written: dict[str, list[Head]], readings: Iterable[int]) -> list[dict[str, float] | None]:
    """What is known after each reading, of reports that are written at their times."""
    rates, seen, found = Rates(PERIOD_MS), dict[str, Head](), []
    for now in readings:
        new = {}
        for symbol, heads in written.items():
            newest = next((one for one in reversed(heads) if one.updated_at <= START + now), None)
            if newest and seen.get(symbol) is not newest:
                new[symbol] = seen[symbol] = newest
        rates.add(START + now, new)
        known = rates.by_node()
        found.append(None if known is None else {node: round(rate, 1) for node, rate in known.items()})
    return found


def test_it_is_true_half_a_second_after_the_start_wherever_the_readings_fall() -> None:
    symbols = {f"S{phase}": [head(at) for at in range(phase - 250, 3_000, PERIOD_MS)] for phase in range(3, 250, 40)}
    shown = watched(symbols, range(100, 2_500, 252))
    assert shown[:2] == [None, None]
    assert shown[2:] == [{"a": 4.0 * len(symbols)}] * (len(shown) - 2)


@pytest.mark.parametrize("every_ms", [250, 256, 500, 900])
def test_reports_that_no_reading_saw_are_counted(every_ms: int) -> None:
    chance = random.Random(1)
    jitter = [head(at + chance.randint(-20, 20)) for at in range(0, 20_000, PERIOD_MS)]
    shown = [one["a"] for one in watched({"X": jitter}, range(255, 15_000, every_ms)) if one][3:]
    assert all(3.2 <= rate <= 4.8 for rate in shown), shown
    assert sum(shown) / len(shown) == pytest.approx(4, abs=0.15)


def test_a_node_that_skips_every_second_report_is_not_flattered() -> None:
    slow = [head(at) for at in range(0, 6_000, 2 * PERIOD_MS)]
    shown = [one["a"] for one in watched({"X": slow}, range(100, 5_000, 253)) if one][4:]
    assert all(1.6 <= rate <= 2.9 for rate in shown), shown


def test_after_a_kill_it_is_what_was_written_in_the_last_second_and_then_all_of_it_again() -> None:
    """Node a dies at 2 s; b takes over 400 ms later."""
    before, after = range(0, 2_001, PERIOD_MS), range(2_400, 6_000, PERIOD_MS)
    moved = [*map(head, before), *(head(at, "b", 2) for at in after)]
    shown = watched({"X": moved, "Y": [head(at, "b") for at in range(0, 6_000, PERIOD_MS)]}, range(90, 5_000, 250))
    by_time = dict(zip(range(90, 5_000, 250), shown, strict=True))
    total = {at: sum(one.values()) for at, one in by_time.items() if one}
    assert total[1_840] == 8.0
    assert all(5.5 <= rate <= 8.0 for rate in total.values()), total
    assert min(total.values()) < 7.5
    assert by_time[4_090] == {"b": 8.0}


def test_a_writer_that_is_silent_has_no_rate() -> None:
    shown = watched({"X": [head(at) for at in range(0, 1_001, PERIOD_MS)]}, range(10, 4_000, 250))
    assert shown[4] == {"a": 4.0}
    assert shown[-1] == {}

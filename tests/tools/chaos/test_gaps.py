"""How long a symbol had no report, from writes and faults whose times are given."""

from __future__ import annotations

import math

import pytest

from tools.chaos.gaps import describe_regularity, gaps, percentile, regularity
from tools.chaos.history import Appended, Injected, Record, StackStarted, Write

S = "BTCUSDT"
A, B = "node-001/a", "node-002/b"


def written(*times: float, owner: str = A, update_id: int | None = None, report: bool = True) -> list[Record]:
    return [Write(time, S, owner, 1, update_id=update_id, report=report) for time in times]


def measured(*records: Record) -> tuple[float, float]:
    (gap,) = gaps(records)
    return round(gap.next_ms), round(gap.longest_ms)


def test_from_the_fault_to_the_next_report_and_the_longest_silence() -> None:
    fault = Injected(10.1, "node-term", (S,), 10.1, 12.0)
    assert measured(*written(10.0, 10.15, 10.75, 11.0, 12.5), fault) == (50, 600)


def test_the_one_who_was_hit_ends_no_gap() -> None:
    fault = Injected(10.1, "node-freeze", (S,), 10.1, 12.0, owner_gone=A)
    assert measured(*written(10.0, 10.101), *written(11.1, 11.3, owner=B), fault) == (1000, 1000)


def test_a_gap_counts_from_when_redis_is_back() -> None:
    fault = Injected(10.1, "redis-restart", (S,), 14.0, 16.0)
    assert measured(*written(10.0, 14.3, 14.5), fault) == (300, 300)


def test_what_must_be_fresh_ends_with_a_newer_book() -> None:
    fault = Injected(10.1, "exchange-skip", (S,), 10.1, 12.0, fresh=True)
    old, new = written(10.0, 10.25, 10.5, update_id=7), written(10.9, 11.0, update_id=8)
    assert measured(*old, *new, fault) == (800, 800)
    again = written(10.9, 11.0, update_id=3)  # numbered from the start again
    assert measured(*old, *again, fault) == (800, 800)
    before = written(9.0, 9.1, update_id=9)
    assert measured(*before, *old, *new, fault) == (800, 800)  # it was so a while ago


def test_updates_have_gaps_of_their_own() -> None:
    fault = Injected(10.1, "writer-lost", (S,), 10.1, 12.0, owner_gone=A, appends=True)
    updates: list[Record] = [
        Appended(time, S, owner, 5, 1, 1) for time, owner in ((10.0, A), (10.2, A), (10.8, B), (11.0, B))
    ]
    assert measured(*updates, Appended(10.5, S, B, 5), *written(10.2, 10.4), fault) == (700, 700)


def test_slow_sections_are_no_report() -> None:
    fault = Injected(10.1, "node-kill", (S,), 10.1, 12.0)
    assert measured(*written(10.0), *written(10.2, report=False), *written(10.4), fault)[0] == 300


def test_a_symbol_that_never_comes_back_has_an_infinite_gap() -> None:
    assert gaps([*written(10.0), Injected(10.1, "node-kill", (S,), 10.1, 12.0)])[0].longest_ms == math.inf


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (75, 3), (99, 4), (100, 4)])
def test_percentiles_are_by_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def written_by(symbol: str, *times: float) -> list[Record]:
    return [Write(time, symbol, "node-001/a", 1) for time in times]


def fault(since: float, until: float, kind: str = "nothing") -> Injected:
    return Injected(since, kind, ("BTCUSDT",), since, until)


def test_what_was_written_of_what_was_due_and_the_longest_silence() -> None:
    regular = written_by("BTCUSDT", 9.9, *(10.1 + n / 4 for n in range(8)))
    gapped = written_by("ETHUSDT", 10.1, 10.35, 11.0, 11.25, 11.5, 11.9, 12.5)
    found = regularity([*regular, *gapped, fault(10.0, 11.0), fault(11.0, 12.0)])
    assert found is not None
    assert (found.written, found.due, round(found.longest_ms), found.above_two_periods) == (14, 16, 650, 1)
    assert describe_regularity(found) == (
        "14 of 16 due reports were written (87.50%); longest gap 650 ms, 1 gaps above two periods."
    )


def test_silence_to_the_end_counts() -> None:
    found = regularity([*written_by("BTCUSDT", 10.1), fault(10.0, 12.0)])
    assert found is not None
    assert (round(found.longest_ms), found.above_two_periods) == (1900, 1)


def test_slow_sections_are_no_reports() -> None:
    slow = Write(10.5, "BTCUSDT", "node-001/a", 1, report=False)
    found = regularity([*written_by("BTCUSDT", 10.1), slow, fault(10.0, 11.0)])
    assert found is not None
    assert found.written == 1


def test_with_a_fault_it_says_nothing() -> None:
    assert regularity([*written_by("BTCUSDT", 10.1), fault(10.0, 12.0), fault(12.0, 13.0, "node-kill")]) is None
    assert regularity(written_by("BTCUSDT", 10.1)) is None
    assert describe_regularity(None) == ""


def test_what_lies_between_two_stacks_is_no_silence() -> None:
    def stack(start: float) -> list[Record]:
        return [*written_by("BTCUSDT", start + 0.2, start + 0.4), fault(start, start + 0.5)]

    found = regularity([StackStarted(1.0, "single"), *stack(10.0), StackStarted(50.0, "sentinel"), *stack(60.0)])
    assert found is not None
    assert (found.written, found.due, round(found.longest_ms), found.above_two_periods) == (4, 4, 200, 0)

"""How regular reports were, from writes whose times are given."""

from __future__ import annotations

from tools.chaos.history import Began, Injected, Record, Write
from tools.chaos.steadiness import sentence, steadiness


def written(symbol: str, *times: float) -> list[Record]:
    return [Write(time, symbol, "node-001/a", 1) for time in times]


def fault(since: float, until: float, kind: str = "nothing") -> Injected:
    return Injected(since, kind, ("BTCUSDT",), since, until)


def test_what_was_written_of_what_was_due_and_the_longest_silence() -> None:
    regular = written("BTCUSDT", 9.9, *(10.1 + n / 4 for n in range(8)))
    gapped = written("ETHUSDT", 10.1, 10.35, 11.0, 11.25, 11.5, 11.9, 12.5)
    found = steadiness([*regular, *gapped, fault(10.0, 11.0), fault(11.0, 12.0)])
    assert found is not None
    assert (found.written, found.due, round(found.longest_ms), found.above_two_periods) == (14, 16, 650, 1)
    assert sentence(found) == (
        "14 of 16 due reports were written (87.50%); longest gap 650 ms, 1 gaps above two periods."
    )


def test_silence_to_the_end_counts() -> None:
    found = steadiness([*written("BTCUSDT", 10.1), fault(10.0, 12.0)])
    assert found is not None
    assert (round(found.longest_ms), found.above_two_periods) == (1900, 1)


def test_slow_sections_are_no_reports() -> None:
    slow = Write(10.5, "BTCUSDT", "node-001/a", 1, report=False)
    found = steadiness([*written("BTCUSDT", 10.1), slow, fault(10.0, 11.0)])
    assert found is not None
    assert found.written == 1


def test_with_a_fault_it_says_nothing() -> None:
    assert steadiness([*written("BTCUSDT", 10.1), fault(10.0, 12.0), fault(12.0, 13.0, "node-kill")]) is None
    assert steadiness(written("BTCUSDT", 10.1)) is None
    assert sentence(None) == ""


def test_what_lies_between_two_stacks_is_no_silence() -> None:
    def stack(start: float) -> list[Record]:
        return [*written("BTCUSDT", start + 0.2, start + 0.4), fault(start, start + 0.5)]

    found = steadiness([Began(1.0, "single"), *stack(10.0), Began(50.0, "sentinel"), *stack(60.0)])
    assert found is not None
    assert (found.written, found.due, round(found.longest_ms), found.above_two_periods) == (4, 4, 200, 0)

"""The plain language of answers, whole: with none of a thing, one and many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tickfence.analytics.history_row import HistoryRow
from tickfence.mcp.changes import LISTED, changes
from tickfence.mcp.changes_answer import Happened, Present, SymbolChanges
from tickfence.mcp.changes_text import changes_text
from tickfence.mcp.history import table, table_lines
from tickfence.mcp.scan import ANY, Match, Names, Scan, scan_text
from tickfence.readers.history import History
from tickfence.readers.when import Range

NOON = 1_700_049_600_000


def row(at_s: int, **fields: Any) -> HistoryRow:
    known: dict[str, Any] = {"token": 1, "health": 90.0, "status": "ok", "anomalies": 0, "walls": 2, "mid_price": 100.0}
    return HistoryRow(time_ms=NOON + at_s * 1000, **known | fields)


def lines(rows: Sequence[HistoryRow], until_s: int, events: int = 0, current: Present | None = None) -> list[str]:
    """The text of `get_changes`, without what holds for all of them."""
    found = changes(rows, NOON, NOON + until_s * 1000, 1000)
    told = [Happened(NOON, f"event {number}") for number in range(events)]
    answer = SymbolChanges.of(found, "AAUSDT", NOON, NOON + until_s * 1000, told, current, [])
    return [line for line in changes_text(answer).splitlines() if not line.startswith(("steady: ", "changed means"))]


def test_changes_of_nothing() -> None:
    assert lines([], 60) == [
        "AAUSDT has no report now",
        "AAUSDT, 2023-11-15 12:00:00 to 12:01:00 UTC: no rows of history",
        "anomalies: not known",
        "no rows since 12:00:00: nothing is known of that time",
    ]


def test_changes_by_one() -> None:
    current = Present("ok", False, None, "node-001", [], 0, [], 1)
    one = [row(0), row(1, anomalies=1, severity="low", walls=3), row(2, walls=3)]
    assert lines(one, 2, 1, current) == [
        "AAUSDT, 2023-11-15 12:00:00 to 12:00:02 UTC: 3 rows of history, 12:00:00 to 12:00:02",
        "walls: 2 to 3 (from 2 to 3), at least 1 came and 0 went: 12:00:01 2 to 3",
        "anomalies: at 12:00:01, low, 1 at once",
        "1 further anomaly now",
        "written by node-001 now",
        "12:00:00 event 0",
    ]
    assert lines([row(0)], 1)[1] == ("AAUSDT, 2023-11-15 12:00:00 to 12:00:01 UTC: 1 row of history, at 12:00:00")


@pytest.mark.parametrize(("older", "told"), [(1, "1 older {}"), (3, "3 older {}s")])
def test_changes_by_many(older: int, told: str) -> None:
    count = LISTED + older
    rows = []
    for number in range(count):
        rows += [row(2 * number), row(2 * number + 1, anomalies=2, severity="high", status="down")]
    rows += [row(2 * count)]
    found = lines(rows, 2 * count, LISTED + older)
    assert found[-1] == f"left out: {told.format('disturbance')}, {told.format('event')}"
    [anomalies] = [line for line in found if line.startswith("anomalies: ")]
    assert anomalies.startswith(f"anomalies: {count} episodes, the worst high from 12:00:01: at 12:00:")
    assert anomalies.endswith(f"; {told.format('episode')} left out")
    walls = [row(number, walls=number % 2) for number in range(count + 1)]
    assert f"; {told.format('change')} left out" in "\n".join(lines(walls, count))


def test_rows_over_time() -> None:
    asked = Range(NOON, NOON + 60_000, 10_000)
    head = "AAUSDT, 2023-11-15T12:00:00.000Z to 2023-11-15T12:01:00.000Z: "
    for rows, told in (
        ([], "no rows"),
        ([row(1)], "1 row, the last of each 10s"),
        ([row(1), row(11)], "2 rows, the last of each 10s"),
    ):
        text = table_lines(table(History("AAUSDT", asked, rows), ["mid_price"]))
        assert text.splitlines()[0] == head + told


def test_a_scan() -> None:
    def told(searched: int, matching: int, left_out: int = 0, **skipped: Names) -> list[str]:
        anomaly = {"type": "iceberg", "severity": "low", "note": "a note"}
        matches = [Match(f"S{number}", "low", [anomaly]) for number in range(matching)]
        return scan_text(Scan(NOON, searched, matches, left_out, dict(skipped)), ANY, "low").splitlines()  # type: ignore[arg-type]

    assert told(0, 0, stale=Names(1, ["AA"])) == [
        "no symbols searched, none with anomalies of any severity",
        "not searched, stale: AA",
    ]
    assert told(1, 0) == ["1 symbol searched, none with anomalies of any severity"]
    assert told(6, 1) == ["6 symbols searched, 1 with anomalies of any severity", "S0: iceberg, low, a note"]
    assert told(6, 1, 1)[0] == "6 symbols searched, 2 with anomalies of any severity"
    assert told(6, 1, 1)[-1] == "1 further symbol left out, none worse"
    assert told(9, 1, 2)[-1] == "2 further symbols left out, none worse"

"""DuckDB's answers, against the plain ones."""

from __future__ import annotations

import random

import pytest

from tests.recordings.writing import HOUR
from tickfence.analytics.history_row import HistoryRow
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.recordings.queries import FIELDS, Queries
from tickfence.recordings.recording import Recording
from tickfence.recordings.store import Store

TIMES = sorted(random.Random("times").sample(range(HOUR - HOUR_MS, HOUR + HOUR_MS), 300))


def row(at_ms: int) -> HistoryRow:
    return HistoryRow(
        time_ms=at_ms,
        token=7,
        mid_price=at_ms / 7 if at_ms % 5 else None,
        health=float(at_ms % 100),
        walls=at_ms % 3,
        severity="high" if at_ms % 2 else None,
        status="ok",
    )


@pytest.fixture(scope="module", params=["local", "memory"])
def queries(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Queries:
    folder = tmp_path_factory.mktemp("recording")
    url = str(folder) if request.param == "local" else f"memory://{folder.name}"
    store = Store(url)
    table = rows.table(
        Kind.HISTORY,
        [rows.history_row(symbol, f"{at}-0", row(at)) for at in TIMES for symbol in ("BTCUSDT", "ETHUSDT")],
    )
    store.write(table, Kind.HISTORY, "r.1", 1)
    store.close("r.1", HOUR, 1)
    happened = [rows.event(f"{at}-{number}", {"kind": "node", "n": str(at)}) for at in TIMES for number in (2, 10)]
    store.write(rows.table(Kind.EVENTS, happened), Kind.EVENTS, "r.1", 1)
    return Queries(Recording(url))


@pytest.mark.parametrize("step_ms", [1, 1000, 60_000, 7_000_000])
@pytest.mark.parametrize(("since", "until"), [(0, 2**60), (HOUR, HOUR + 60_000), (HOUR - 500_000, HOUR + 500_000)])
def test_history_has_the_newest_row_of_each_step(queries: Queries, step_ms: int, since: int, until: int) -> None:
    newest = {at // step_ms: row(at) for at in TIMES if since <= at < until}
    fields = ["severity", "mid_price", "walls"]
    found = queries.history("BTCUSDT", since, until, step_ms, fields)
    assert found.schema.names == ["time_ms", *fields]
    assert found.to_pylist() == [
        {name: getattr(each, name) for name in ("time_ms", *fields)} for each in newest.values()
    ]
    assert queries.history("BTCUSDT", since, until, step_ms, fields, limit=3).to_pylist() == found.to_pylist()[:3]


def test_history_with_every_field(queries: Queries) -> None:
    found = queries.history("ETHUSDT", TIMES[0], TIMES[0] + 1).to_pylist()
    assert found == [{name: getattr(row(TIMES[0]), name) for name in ("time_ms", *FIELDS)}]


@pytest.mark.parametrize("symbol", ["X' OR 1=1 --", '"; DROP TABLE x', "币", ""])
def test_a_symbol_is_only_a_value(queries: Queries, symbol: str) -> None:
    assert len(queries.history(symbol, 0, 2**60)) == 0


@pytest.mark.parametrize("field", ['token" FROM x --', "symbol", "*", "time_ms"])
def test_other_fields_are_refused(queries: Queries, field: str) -> None:
    with pytest.raises(ValueError, match=r"must be of token, mid_price"):
        queries.history("BTCUSDT", 0, 2**60, 1, ["walls", field])


@pytest.mark.parametrize("step_ms", [0, -1])
def test_a_step_is_at_least_a_millisecond(queries: Queries, step_ms: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        queries.history("BTCUSDT", 0, 2**60, step_ms)


def test_events(queries: Queries) -> None:
    every = [(f"{at}-{number}", {"kind": "node", "n": str(at)}) for at in TIMES for number in (2, 10)]
    assert queries.events(0, 2**60) == every
    assert queries.events(TIMES[5], TIMES[7]) == every[10:14]
    assert queries.events(0, 2**60, limit=3) == every[:3]
    assert queries.events(0, 2**60, limit=3, newest=True) == every[-3:]


def test_nothing_recorded() -> None:
    empty = Queries(Recording("memory://empty"))
    assert empty.history("BTCUSDT", 0, 2**60, 1, ["walls"]).schema.names == ["time_ms", "walls"]
    assert empty.events(0, 2**60) == []

"""Names of files, and which of them count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recordings.writing import HOUR
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import DAY_MS, HOUR_MS, File, check_writer, counted, parse

files = st.builds(
    lambda kind, hours, writer, first, count: File(
        kind, "binance", hours * HOUR_MS, writer, first, first + (count or 0), count is not None
    ),
    st.sampled_from(Kind),
    st.integers(0, 800_000),
    st.text("aZ09._-", min_size=1, max_size=96),
    st.integers(0, 10**9),
    st.none() | st.integers(0, 100),
)


@given(files)
def test_a_path_says_all(file: File) -> None:
    assert parse(file.path) == file


def test_the_path_of_a_file() -> None:
    part = File(Kind.TRADES, "binance", HOUR, "recorder-1.1764151200000", 12, 12, closed=False)
    folder = "day=2025-11-26/venue=binance/kind=trades"
    assert part.path == f"{folder}/hour-10.recorder-1.1764151200000.12.parquet.open"
    assert part._replace(last=71, closed=True).path == f"{folder}/hour-10.recorder-1.1764151200000.12-71.parquet"


@pytest.mark.parametrize(
    "path",
    [
        "day=2025-11-26/venue=binance/kind=trades/hour-10.r.1-2.parquet.tmp",
        "day=2025-11-26/venue=binance/kind=trades/hour-10.r.1.parquet",
        "day=2025-11-26/venue=binance/kind=trades/hour-24.r.1-2.parquet",
        "day=2025-11-26/venue=binance/kind=rubbish/hour-10.r.1-2.parquet",
        "day=2025-02-30/venue=binance/kind=trades/hour-10.r.1-2.parquet",
        "reports/job=1/x.parquet",
    ],
)
def test_other_files_are_no_recording(path: str) -> None:
    assert parse(path) is None


def test_a_part_counts_until_a_closed_file_holds_it() -> None:
    part = File(Kind.TRADES, "binance", HOUR, "r.1", 5, 5, closed=False)
    closed = part._replace(first=1, last=5, closed=True)
    assert counted([closed, part]) == [closed]
    for other in (
        part._replace(first=6, last=6),
        part._replace(writer="r.2"),
        part._replace(hour_ms=HOUR + HOUR_MS),
        part._replace(hour_ms=HOUR + DAY_MS),
        part._replace(kind=Kind.DIFFS),
        part._replace(venue="okx"),
    ):
        assert set(counted([other, closed])) == {closed, other}


@pytest.mark.parametrize("writer", ["", "a/b", "a b", "x" * 97])
def test_a_writer_that_is_no_name(writer: str) -> None:
    with pytest.raises(ValueError, match="must match"):
        check_writer(writer)

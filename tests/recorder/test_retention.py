"""Old days are deleted as a whole, and never one that a batch job reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tasks.recorded_market import RecordedMarket
from tests.recordings.writing import HOUR, trade, write_trades
from tickfence.batch.job import Done, Job
from tickfence.batch.partition import cut
from tickfence.batch.reading import LEAD_MS, TAIL_MS, times_read
from tickfence.batch.store import JobStore
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.recorder.retention import Retention, Span, expired
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import DAY_MS, HOUR_MS, day_folder, day_start_ms
from tickfence.recordings.schemas import SCHEMAS
from tickfence.recordings.store import Store

FIRST_DAY = HOUR // DAY_MS
days = st.integers(0, 20)


@given(
    st.sets(days, min_size=1),
    st.integers(1, 10),
    st.integers(-4, 80).map(lambda half_days: half_days * DAY_MS // 2),
    st.lists(st.tuples(days, days)),
)
def test_only_days_that_are_older_by_every_clock_and_not_read_go(
    present: set[int], keep: int, now: int, read: list[Span]
) -> None:
    spans = [(first * DAY_MS + 7, last * DAY_MS - 7) for first, last in read if first < last]
    gone = [day_start_ms(day) for day in expired(map(day_folder, (d * DAY_MS for d in present)), now, keep, spans)]
    for day in present:
        old = (day + 1 + keep) * DAY_MS <= min(now, (max(present) + 1) * DAY_MS)
        is_read = any(first < (day + 1) * DAY_MS and last > day * DAY_MS for first, last in spans)
        assert (day * DAY_MS in gone) == (old and not is_read)


def recording(folder: Path, count: int) -> Store:
    store = Store(str(folder))
    for day in range(count):
        write_trades(store, day, trade(HOUR + day * DAY_MS, day))
    return store


def test_old_days_are_deleted_once_an_hour(tmp_path: Path) -> None:
    store = recording(tmp_path, 5)
    (tmp_path / "notes").mkdir()
    now = HOUR + 4 * DAY_MS
    retention = Retention(store, 2, list)
    retention.sweep(now)
    assert store.days() == [day_folder(HOUR + day * DAY_MS) for day in (2, 3, 4)]
    write_trades(store, 1, trade(HOUR, 1))
    retention.sweep(now)
    assert len(store.days()) == 4
    retention.sweep(now + HOUR_MS)
    assert len(store.days()) == 3
    assert (tmp_path / "notes").exists()


def test_without_a_number_of_days_nothing_is(tmp_path: Path) -> None:
    store = recording(tmp_path, 5)
    Retention(store, 0, list).sweep(HOUR + 100 * DAY_MS)
    assert len(store.days()) == 5


def test_nothing_is_deleted_while_nobody_knows_what_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = recording(tmp_path, 5)
    asked = [redis.ConnectionError("away")]

    def read() -> list[Span]:
        if asked:
            raise asked.pop()
        return []

    retention = Retention(store, 2, read)
    retention.sweep(HOUR + 4 * DAY_MS)
    assert len(store.days()) == 5
    assert "old recordings cannot be deleted; they stay" in caplog.text
    retention.sweep(HOUR + 4 * DAY_MS)
    assert len(store.days()) == 3


def test_a_job_keeps_what_its_unfinished_partitions_read(redis_client: redis.Redis) -> None:
    keys, symbol = Keys(), Instrument("BTCUSDT")
    parts = tuple(cut([symbol], HOUR, HOUR + 3 * HOUR_MS))
    job = Job("one", 2**40, "recordings", "out", None, parts)
    command = JobStore(redis_client, keys, job, Owner.start("command"))
    assert list(times_read(redis_client, keys)) == []
    command.store()
    command.put(parts[0].name, 1, Done("file", 1))
    assert list(times_read(redis_client, keys)) == [
        (part.from_ms - LEAD_MS, part.to_ms + TAIL_MS) for part in parts[1:]
    ]


class Asked:
    """A recording without rows that remembers from when on it was read, and until when."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def table(
        self, kind: Kind, symbols: Sequence[str] | None = None, from_ms: int | None = None, to_ms: int | None = None
    ) -> pa.Table:
        assert symbols == ["BTCUSDT"]
        self.times += [at for at in (from_ms, to_ms) if at is not None]
        return SCHEMAS[kind].empty_table()

    def span(self, *_: object) -> None:
        """When its rows are from: there are none."""


def test_a_partition_reads_nothing_before_what_is_kept_for_it() -> None:
    asked = Asked()
    market = RecordedMarket(asked, Instrument("BTCUSDT"), HOUR, HOUR + HOUR_MS)
    assert (market.infos(), market.tickers()) == ([], [])
    assert list(market.snapshots_before(2**53, min(asked.times))) == []
    assert min(asked.times) >= HOUR - LEAD_MS and max(asked.times) <= HOUR + HOUR_MS + TAIL_MS

"""Parts and closed files: each row once, at whatever moment a process is killed."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from tests.recordings.dying import Dying, Killed
from tests.recordings.writing import HOUR, MINUTE_MS, trade, write_trades
from tickfence.recordings import rows
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.recordings.recording import Recording
from tickfence.recordings.store import BadRecordings, Store

numbers = itertools.count()


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "made") if request.param == "local" else f"memory://{tmp_path.name}"


@pytest.fixture(scope="module")
def dying_urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = tmp_path_factory.mktemp("dying")
    yield [f"dyinglocal://{folder}", "dyingmemory://root"]
    Dying.left = None


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2 * HOUR_MS - 1), min_size=1, max_size=4), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.integers(0, 5)), max_size=4),
    st.sampled_from([1, 1, 1, 0]),
    st.sampled_from([None, 1, 7000]),
)
def test_each_row_is_read_once_after_a_kill_at_any_step(
    dying_urls: list[str], parts: list[list[int]], kills: list[tuple[int, bool, int]], place: int, size: int | None
) -> None:
    url = f"{dying_urls[place]}/{next(numbers)}"
    ids = itertools.count()
    written = [[trade(HOUR + at, next(ids)) for at in part] for part in parts]
    store, recording = Store(url), Recording(url)

    def run(until: int, before_ms: int) -> None:
        """What a recorder does: it writes the parts that are not surely written, then closes hours."""
        for number, part in list(enumerate(written))[len(done) : until]:
            write_trades(store, number, *part)
            done.add(number)
        store.close("r.1", before_ms, len(done) - 1, file_bytes=size)

    def check() -> None:
        found = recording.table(Kind.TRADES)["trade_id"].to_pylist()
        assert len(found) == len(set(found))
        assert {row[2] for number in done for row in written[number]} <= set(found)

    done: set[int] = set()
    for steps, whole, until in kills:
        Dying.left = steps
        with suppress(Killed):
            run(until, HOUR + (2 if whole else 1) * HOUR_MS)
        Dying.left = None
        check()
    run(len(parts), HOUR + 2 * HOUR_MS)
    check()
    assert sorted(recording.table(Kind.TRADES)["trade_id"].to_pylist()) == list(range(next(ids)))
    left = store.fs.find(store.root)
    assert left and all(path.endswith(".parquet") for path in left)


def test_a_closed_hour_has_a_row_group_a_minute(url: str) -> None:
    store = Store(url)
    for minute in range(4):
        at = HOUR + minute * MINUTE_MS
        write_trades(store, 2 * minute, trade(at, 4 * minute), trade(at + 20_000, 4 * minute + 1))
        write_trades(store, 2 * minute + 1, trade(at + 40_000, 4 * minute + 2, "A"), trade(at + 59_999, 4 * minute + 3))
    [closed] = store.close("r.1", HOUR + HOUR_MS, 7)
    assert (closed.first, closed.last) == (0, 7)
    with store.fs.open(store.path(closed)) as stream:
        file = pq.ParquetFile(stream)
        groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    assert [group["trade_id"].to_pylist() for group in groups] == [
        [2, 0, 1, 3],
        [6, 4, 5, 7],
        [10, 8, 9, 11],
        [14, 12, 13, 15],
    ]


def test_what_is_not_yet_to_be_closed_stays(url: str) -> None:
    store = Store(url)
    write_trades(store, 1, trade(HOUR, 1), trade(HOUR + HOUR_MS, 2), trade(HOUR, 3, "okx:BTC-USDT"))
    write_trades(store, 2, trade(HOUR + 1, 4))
    write_trades(store, 1, trade(HOUR, 5), writer="r.2")
    assert len(store.files(Kind.TRADES)) == 5
    closed = store.close("r.1", HOUR + HOUR_MS, 1)
    assert [(file.venue, file.first, file.last) for file in closed] == [("binance", 1, 1), ("okx", 1, 1)]
    closed = store.close("r.1", HOUR + HOUR_MS, 2)
    assert [(file.venue, file.first, file.last) for file in closed] == [("binance", 2, 2)]
    assert store.close("r.1", HOUR + HOUR_MS, 2) == []
    assert sorted(Recording(url).table(Kind.TRADES)["trade_id"].to_pylist()) == [1, 2, 3, 4, 5]
    assert sorted(file.writer for file in store.files() if not file.closed) == ["r.1", "r.2"]


def test_a_damaged_part_is_set_aside_when_its_hour_is_closed(url: str, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(url)
    for number in (1, 2, 3):
        write_trades(store, number, trade(HOUR + number, number))
    path = store.path(store.files()[1])
    store.fs.pipe_file(path, store.fs.cat_file(path)[:-100])
    with caplog.at_level(logging.ERROR):
        [closed] = store.close("r.1", HOUR + HOUR_MS, 3)
    [line] = caplog.messages
    assert line.startswith(f"{path} cannot be read and is set aside: ")
    assert Recording(url).table(Kind.TRADES)["trade_id"].to_pylist() == [1, 3]
    assert store.fs.exists(path + ".bad") and store.files() == [closed]


def test_no_rows_make_no_file(url: str) -> None:
    for kind in Kind:
        assert Store(url).write(rows.table(kind, []), kind, "r.1", 1) == {}


@pytest.mark.parametrize("address", ["nowhere://x", "s3://bucket/x"])
def test_an_address_that_cannot_be_used(address: str) -> None:
    with pytest.raises(BadRecordings, match=f"recordings '{address}' must be a folder or a URL that fsspec knows"):
        Store(address)


@pytest.mark.parametrize("address", ["a*", "memory://a[1]", "b?"])
def test_an_address_that_looks_like_a_pattern(address: str) -> None:
    with pytest.raises(BadRecordings, match="programs take it for a pattern"):
        Store(address)


def test_a_file_takes_no_further_part_when_it_is_large(url: str) -> None:
    store, size = Store(url), 0
    for number in range(7):
        written = store.write(
            rows.table(Kind.TRADES, [trade(HOUR + number * MINUTE_MS, number)]), Kind.TRADES, "r.1", number
        )
        [size] = written.values()
        assert size == store.fs.size(store.path(store.files()[-1]))
    closed = store.close("r.1", HOUR, 5, file_bytes=2 * size)
    assert [(file.first, file.last) for file in closed] == [(0, 1), (2, 3), (4, 5)]
    assert store.close("r.1", HOUR, 6, file_bytes=2 * size) == []
    assert Recording(url).table(Kind.TRADES)["trade_id"].to_pylist() == list(range(7))
    [last] = store.close("r.1", HOUR + HOUR_MS, 6, file_bytes=2 * size)
    assert (last.first, last.last) == (6, 6)
    assert Recording(url).table(Kind.TRADES)["trade_id"].to_pylist() == list(range(7))

"""A symbol's past and events of any age: Redis and recordings as one, whatever is where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from tickfence.analytics.history_row import HistoryRow, pack
from tickfence.keys import Keys
from tickfence.readers.archive import Recorded
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.history import (
    History,
    Packed,
    Recent,
    before_joint,
    joined,
    newest_passes,
    next_since,
    one_a_step,
    read_history,
)
from tickfence.readers.past_events import PastEvents, Span, read_events
from tickfence.readers.reader import Reader
from tickfence.readers.when import Range
from tickfence.recordings.kinds import Kind
from tickfence.recordings.rows import event, history_row, table
from tickfence.recordings.store import Store
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
START = 1_764_151_200_000


def row(time_ms: int, mid_price: float = 1.0) -> HistoryRow:
    return HistoryRow(time_ms=time_ms, token=7, mid_price=mid_price, health=90.0, status="ok")


@st.composite
def pasts(draw: st.DrawFn) -> tuple[list[HistoryRow], int, int]:
    """Rows, how many of the last ones Redis has, and how many of the first ones are recorded: none is in neither."""
    gaps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=40))
    rows = [row(sum(gaps[: place + 1]), float(place)) for place in range(len(gaps))]
    kept = draw(st.integers(0, len(rows)))
    return rows, kept, draw(st.integers(len(rows) - kept, len(rows)))


@example(([row(1), row(2)], 1, 1), 0, 9, 0, 1)
@given(pasts(), st.integers(0, 90), st.integers(0, 90), st.sampled_from([0, 1, 3, 10]), st.integers(1, 9))
def test_page_by_page_every_row_comes_once_wherever_the_joint_is(
    past: tuple[list[HistoryRow], int, int], since: int, length: int, step: int, limit: int
) -> None:
    rows, kept, recorded = past
    in_redis = rows[len(rows) - kept :]

    def read(asked: Range) -> History:
        within = [one for one in in_redis if asked.since_ms <= one.time_ms < asked.until_ms]
        recent = Recent(within, in_redis[0].time_ms if in_redis else None)
        older = before_joint(asked, recent)
        if older is None:
            return joined("X", asked, Recorded(), recent, limit)
        of_files = [one for one in rows[:recorded] if older.since_ms <= one.time_ms < older.until_ms]
        return joined("X", asked, Recorded(list(one_a_step(of_files, step))[: limit + 1]), recent, limit)

    asked, found = Range(since, since + length, step), []
    while True:
        page = read(asked)
        assert len(page.rows) <= limit
        found += page.rows
        if not page.more:
            break
        asked = asked._replace(since_ms=next_since(page.rows[-1].time_ms, step))
    wanted = [one for one in rows if since <= one.time_ms < since + length]
    assert found == list(one_a_step(wanted, step))
    if not step:
        assert found == wanted


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    return tmp_path / "recordings"


@pytest.fixture
def ask(redis_server: EmbeddedRedis, redis_client: redis.Redis, recordings: Path) -> Iterator[Callable[..., Any]]:  # noqa: ARG001
    """Reads with a reader of its own: ``ask(read_history, "X", since, until)``."""
    settings = Settings.from_environment({"REDIS_URL": redis_server.url(), "NT_RECORDINGS": str(recordings)})

    def run(read: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        async def once() -> Any:
            reader = Reader(settings)
            try:
                return await read(reader, *arguments, **options)
            finally:
                await reader.close()

        return asyncio.run(once())

    yield run


def write(client: redis.Redis, rows: list[HistoryRow], symbol: str = "BTCUSDT") -> None:
    for one in rows:
        client.xadd(KEYS.history(symbol), {"r": pack(one)}, id=f"{one.time_ms + 3}-0")


def record(recordings: Path, rows: list[HistoryRow], number: int = 1, symbol: str = "BTCUSDT") -> None:
    lines = [history_row(symbol, f"{one.time_ms + 3}-0", one) for one in rows]
    Store(str(recordings)).write(table(Kind.HISTORY, lines), Kind.HISTORY, "recorder-1.1", number)


def test_redis_and_recordings_join_without_a_seam(
    ask: Callable[..., Any], redis_client: redis.Redis, recordings: Path
) -> None:
    rows = [row(START + 1000 * second, second) for second in range(30)]
    record(recordings, rows[:12])
    record(recordings, rows[12:25], 2)
    record(recordings, rows, symbol="ETHUSDT", number=3)
    write(redis_client, rows[18:])
    found = ask(read_history, "BTCUSDT", START, START + 60_000)
    assert (found.rows, found.more, found.note) == (rows, False, None)
    redis_client.xtrim(KEYS.history("BTCUSDT"), maxlen=6)
    assert ask(read_history, "BTCUSDT", START, START + 60_000).rows == rows
    page = ask(read_history, "BTCUSDT", START + 5_000, START + 29_000, 10_000, ["mid_price"], limit=2)
    assert page.columns(["time_ms", "mid_price"]) == {"time_ms": [START + 9_000, START + 19_000], "mid_price": [9, 19]}
    assert page.more
    redis_client.delete(KEYS.history("BTCUSDT"))
    assert ask(read_history, "BTCUSDT", START, START + 60_000).rows == rows[:25]


def test_what_is_nowhere_is_told_in_one_sentence(
    ask: Callable[..., Any], redis_client: redis.Redis, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ask(read_history, "BTCUSDT", START, START + 60_000)
    assert found.note == "Redis has no history of BTCUSDT; recordings have nothing older in this range"
    write(redis_client, [row(START + 1000)])
    assert ask(read_history, "BTCUSDT", START + 1000, START + 60_000).note is None
    told = "Redis has the history of BTCUSDT since 2025-11-26T10:00:01.000Z; recordings "
    assert ask(read_history, "BTCUSDT", START, START + 60_000).note == f"{told}have nothing older in this range"
    record(recordings, [row(START)], symbol="ETHUSDT")
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    monkeypatch.delitem(__import__("sys").modules, "tickfence.recordings.queries", raising=False)
    found = ask(read_history, "BTCUSDT", START, START + 60_000)
    assert found.rows == [row(START + 1000)]
    assert found.note == f"{told}need the package duckdb, which is not installed: pip install 'tickfence[recordings]'"


def test_a_clock_that_went_back_hides_no_row(
    ask: Callable[..., Any], redis_client: redis.Redis, recordings: Path
) -> None:
    """Ids stand still then, and times begin again: rows of both passes are there, each time once."""
    first = [row(START + 1000 * second, 1.0) for second in range(10)]
    again = [row(START - 60_000 + 1000 * second, 2.0) for second in range(10)]
    write(redis_client, first)
    for number, one in enumerate(again, 1):
        redis_client.xadd(KEYS.history("BTCUSDT"), {"r": pack(one)}, id=f"{START + 9_003}-{number}")
    assert ask(read_history, "BTCUSDT", START - 60_000, START - 50_000).rows == again
    assert ask(read_history, "BTCUSDT", START - 60_000, START + 10_000).rows == [*again, *first]
    record(recordings, [*first, *again])
    redis_client.xtrim(KEYS.history("BTCUSDT"), maxlen=5)
    assert ask(read_history, "BTCUSDT", START - 60_000, START + 10_000).rows == [*again, *first]


def test_two_passes_over_the_same_time_do_not_mix_and_the_break_is_told(
    ask: Callable[..., Any], redis_client: redis.Redis
) -> None:
    """The clock was set back by 10 s, and goes on: what was written last over a time is what counts there."""
    first = [row(START + 1000 * second, 1.0) for second in range(20)]
    again = [row(START + 9_500 + 1000 * second, 2.0) for second in range(5)]
    write(redis_client, first)
    for number, one in enumerate(again, 1):
        redis_client.xadd(KEYS.history("BTCUSDT"), {"r": pack(one)}, id=f"{START + 19_003}-{number}")
    found = ask(read_history, "BTCUSDT", START, START + 60_000)
    assert found.rows == [*first[:10], *again, *first[14:]]
    assert found.notes == (
        "the clock of Redis was set back from 2025-11-26T10:00:19.000Z to 2025-11-26T10:00:09.500Z: "
        "of what was written twice, this is the later"
    )
    assert ask(read_history, "BTCUSDT", START + 10_000, START + 60_000).notes is None


@given(st.lists(st.integers(0, 100), max_size=30), st.data())
def test_of_each_time_the_rows_of_one_pass_are_left(gaps: list[int], data: st.DataObject) -> None:
    at, rows = 0, []
    for number, gap in enumerate(gaps):
        at += gap * 100 if data.draw(st.booleans() | st.just(True)) else -gap * 1000
        rows.append(Packed(at, b"%d-0" % number, b""))
    kept, turns = newest_passes(rows)
    numbers = [int(one.entry.split(b"-")[0]) for one in sorted(kept, key=lambda one: one.time_ms)]
    assert len(kept) == len(set(numbers))
    if not turns:
        assert kept == rows
    elif rows:
        assert rows[-1] in kept, "the newest row is never taken for an old one"
    # A row that is left out is one that a later pass has gone past.
    for lost in set(rows) - set(kept):
        behind = rows[rows.index(lost) + 1 :]
        assert any(one.time_ms <= lost.time_ms for one in behind)
        assert any(one.time_ms >= lost.time_ms for one in behind)


def test_an_entry_that_is_no_row_is_told(ask: Callable[..., Any], redis_client: redis.Redis) -> None:
    redis_client.xadd(KEYS.history("BTCUSDT"), {"r": b"x"}, id=f"{START}-0")
    with pytest.raises(Unavailable, match=r"history:\{report:BTCUSDT\} holds what tickfence did not write"):
        ask(read_history, "BTCUSDT", START, START + 60_000)


def test_events_are_read_on_from_recordings_into_redis(
    ask: Callable[..., Any], redis_client: redis.Redis, recordings: Path
) -> None:
    ids = [f"{START + second * 1000}-{number}" for second in range(10) for number in range(3)]
    fields = {"kind": "node", "reason": "joined", "node": "node-001", "incarnation": "a", "term": "7"}
    lines = [event(identity, fields) for identity in ids[:20]]
    Store(str(recordings)).write(table(Kind.EVENTS, lines), Kind.EVENTS, "recorder-1.1", 1)
    for identity in ids[12:]:
        redis_client.xadd(KEYS.events, fields, id=identity)
    span, found = Span((START, 0), (START + 9_000, 0)), []
    while True:
        page: PastEvents = ask(read_events, span, 4)
        found += [one.id for one in page.events]
        if not page.more:
            break
        ms, number = map(int, found[-1].split("-"))
        span = span._replace(begin=(ms, number + 1))
    assert found == ids[:27]
    assert page.note is None
    assert ask(read_events, Span((START, 2)), 100).events[0].id == ids[2]

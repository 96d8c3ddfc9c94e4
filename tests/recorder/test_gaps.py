"""What Redis has trimmed before a recorder read it is counted and told; what the streams never held is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tickfence.coordination.clock import ServerClock
from tickfence.keys import Keys
from tickfence.monitoring import recorder_metrics as metrics
from tickfence.recorder.gaps import PAUSE_MS, follows
from tickfence.recorder.rounds import Rounds
from tickfence.recorder.wal import WriteAheadLog

KEYS = Keys()
SYMBOL = "AAUSDT"
KEY = {"trades": KEYS.trades(SYMBOL), "diffs": KEYS.book(SYMBOL), "history": KEYS.history(SYMBOL)}


@pytest.mark.parametrize(
    ("kind", "number", "first_update", "at_ms", "found"),
    [
        ("trades", 8, None, 1, True),
        ("trades", 9, None, 1, False),
        ("trades", 3, None, 1, False),
        ("diffs", 12, 8, 1, True),
        ("diffs", 12, 5, 1, True),
        ("diffs", 12, 9, 1, False),
        ("diffs", 7, 5, 1, False),
        ("diffs", 8, None, 1, False),
        ("history", 0, None, PAUSE_MS - 1, True),
        ("history", 0, None, PAUSE_MS, False),
    ],
)
def test_an_entry_follows_another(kind: str, number: int, first_update: int | None, at_ms: int, found: bool) -> None:
    fields = [b"r", b"1"] if first_update is None else [b"U", b"%d" % first_update, b"b", b"[]"]
    assert follows(kind, "1000-7", (b"%d-%d" % (1000 + at_ms, number), fields)) is found


class Streams:
    """A symbol's streams, and what is missing by the metric."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._before = self._counted()

    def add(self, kind: str, *numbers: int) -> None:
        for number in numbers:
            fields: dict[Any, Any] = {"U": number} if kind == "diffs" else {"r": "1"}
            entry_id = f"{number * PAUSE_MS}-0" if kind == "history" else f"{1000 + number}-{number}"
            self._client.xadd(KEY[kind], fields, id=entry_id)

    def trim(self, kind: str, left: int) -> None:
        self._client.xtrim(KEY[kind], maxlen=left, approximate=False)

    @staticmethod
    def _counted() -> dict[str, float]:
        get = metrics.registry.get_sample_value
        return {kind: get("nt_recorder_gaps_total", {"kind": kind}) or 0.0 for kind in KEY}

    @property
    def missing(self) -> dict[str, float]:
        return {kind: n - self._before[kind] for kind, n in self._counted().items() if n != self._before[kind]}


@pytest.fixture
def streams(redis_client: redis.Redis) -> Streams:
    return Streams(redis_client)


def recorder(name: str, folder: Path) -> Rounds:
    return Rounds(KEYS, name, WriteAheadLog(folder / name), 0, ServerClock())  # only the fence keeps others out


def record(rounds: Rounds, client: redis.Redis) -> None:
    for _ in rounds.steps(client, {SYMBOL}, values=False):
        pass


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    return recorder("one", tmp_path)


def test_what_was_trimmed_before_it_was_read_is_counted_and_told_once_a_minute(
    rounds: Rounds, redis_client: redis.Redis, streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    for kind in KEY:
        streams.add(kind, 1, 2, 3)
    record(rounds, redis_client)
    for kind in KEY:
        streams.add(kind, 4, 5, 6)
        streams.trim(kind, 2)
    record(rounds, redis_client)
    assert streams.missing == {"trades": 1, "diffs": 1, "history": 1}
    record(rounds, redis_client)
    assert streams.missing == {"trades": 1, "diffs": 1, "history": 1}
    streams.add("diffs", 7, 8)
    streams.trim("diffs", 1)
    record(rounds, redis_client)
    assert streams.missing["diffs"] == 2
    [told] = [one for one in caplog.records if "not recorded" in one.message]
    assert told.source == SYMBOL  # type: ignore[attr-defined]
    assert "diffs between 1003-3 and 1005-5" in told.missing  # type: ignore[attr-defined]


def test_what_the_streams_never_held_and_what_was_read_in_time_is_no_gap(
    rounds: Rounds, redis_client: redis.Redis, streams: Streams
) -> None:
    for kind in KEY:
        streams.add(kind, 5, 6)
    record(rounds, redis_client)
    for kind in KEY:
        streams.add(kind, 50, 51, 70)
    record(rounds, redis_client)
    for kind in KEY:
        streams.add(kind, 71)
        streams.trim(kind, 2)
    record(rounds, redis_client)
    assert streams.missing == {}


def test_one_that_takes_over_finds_what_is_missing_since(
    rounds: Rounds, redis_client: redis.Redis, streams: Streams, tmp_path: Path
) -> None:
    streams.add("diffs", 1, 2)
    record(rounds, redis_client)
    streams.add("diffs", 3, 4, 5)
    streams.trim("diffs", 1)
    record(recorder("two", tmp_path), redis_client)
    assert streams.missing == {"diffs": 1}


def test_what_another_has_recorded_meanwhile_is_not_missing(
    rounds: Rounds, redis_client: redis.Redis, streams: Streams, tmp_path: Path
) -> None:
    streams.add("diffs", 1, 2)
    record(rounds, redis_client)
    other = recorder("two", tmp_path)
    streams.add("diffs", 3, 4)
    record(other, redis_client)
    streams.trim("diffs", 1)
    record(rounds, redis_client)  # as one that was frozen: it learns with its note that the symbol is another's
    assert rounds.held == []
    assert streams.missing == {}

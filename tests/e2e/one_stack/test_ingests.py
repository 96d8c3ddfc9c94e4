"""Two ingests write the same streams; when one is killed and started again, no reader notices."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Collection

import pytest
import redis

from tests.e2e.observer import Watch, metric, picture, reports
from tests.processes import wait_until
from tickfence.keys import Keys
from tickfence.streams import codec
from tools.local.roles import INGESTS
from tools.local.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

KEYS = Keys()
DOWN_MS = 1000
"""A report from data of this age is no longer `ok`."""


class Follower:
    """Follows every trades and book stream from its end, and checks that the exchange's numbers connect.

    An entry is the first and the last of the numbers it stands for: a trade's id twice, or a diff's update ids.
    Diffs need not connect where the snapshot has what is between them: readers load it then, and an ingest that
    starts may overtake one that lags.

    Args:
        client: of the data plane.
        symbols: whose streams to follow.
        background: returns more text for the message of a failure.
    """

    def __init__(self, client: redis.Redis, symbols: Collection[str], background: Callable[[], str]) -> None:
        self._client, self._background = client, background
        self._keys = [key(symbol) for symbol in symbols for key in (KEYS.trades, KEYS.book)]
        self._snapshots = {KEYS.book(symbol): KEYS.snapshot(symbol) for symbol in symbols}
        tops = {key: client.xrevrange(key, count=1) for key in self._keys}
        self._after = {key: top[0][0] for key, top in tops.items()}
        self._last = {key: _numbers(*top[0])[1] for key, top in tops.items()}

    def grows(self, by: int) -> bool:
        """Wait until each stream has that many entries more."""
        missing = dict.fromkeys(self._keys, by)

        def all_grew() -> bool:
            for key, read in self._read().items():
                missing[key] -= read
            return max(missing.values()) <= 0

        return wait_until(all_grew, lambda: f"{by} entries more; missing: {missing}", timeout_s=30)

    def _read(self) -> dict[str, int]:
        pipe = self._client.pipeline(transaction=False)
        for key, after in self._after.items():
            pipe.xrange(key, min=f"({after.decode()}")
        found = dict(zip(self._keys, pipe.execute(), strict=True))
        for key, entries in found.items():
            for entry_id, fields in entries:
                first, last = _numbers(entry_id, fields)
                before = self._last[key]
                if first != before + 1 and not self._snapshot_reaches(key, first - 1):
                    pytest.fail(f"{key}: {first} to {last} ({entry_id!r}) follows {before}\n{self._background()}")
                self._after[key], self._last[key] = entry_id, last
        return {key: len(entries) for key, entries in found.items()}

    def _snapshot_reaches(self, key: str, update_id: int) -> bool:
        """Whether ``key`` is a book stream, and its snapshot includes the update."""
        if key not in self._snapshots:
            return False
        text = self._client.get(self._snapshots[key])
        return text is not None and codec.decode_snapshot(text).last_update_id >= update_id


def _numbers(entry_id: bytes, fields: dict[bytes, bytes]) -> tuple[int, int]:
    last = int(entry_id.split(b"-")[1])
    return int(fields.get(b"U", last)), last


def is_in_sync(stack: Stack, name: str) -> bool:
    """Whether an ingest runs and knows all books."""
    try:
        return metric(stack.ports.metrics[name], "nt_ingest_books_in_sync") == len(stack.settings.symbols)
    except (urllib.error.URLError, AssertionError):  # it is not there yet, or has no venue yet
        return False


def test_whichever_is_killed_nothing_is_missing_and_nothing_is_there_twice(stack: Stack) -> None:
    with stack.redis_client() as data:
        wait_until(lambda: all(is_in_sync(stack, name) for name in INGESTS), lambda: f"books: {picture(stack)}", 30)
        wait_until(
            lambda: all(stack_is_well(stack, data)),
            lambda: f"a report of each symbol from fresh data: {picture(stack)}",
            timeout_s=30,
        )
        streams = Follower(data, stack.settings.symbols, lambda: "\n".join(stack.log(name)[-4000:] for name in INGESTS))
        with Watch(stack) as watch:
            for victim in INGESTS:
                assert streams.grows(by=5)
                stack.kill(victim)
                assert streams.grows(by=5)
                stack.start_role(victim)
                wait_until(lambda: is_in_sync(stack, victim), lambda: f"{victim} again: {picture(stack)}", 30)  # noqa: B023
            assert streams.grows(by=5)
    for symbol, seen in watch.sequences.items():
        assert seen.oldest_data_ms < DOWN_MS + watch.stall_ms, f"{symbol}: {seen}"


def stack_is_well(stack: Stack, data: redis.Redis) -> list[bool]:
    """For each symbol, whether its report is there and says that all is well."""
    found = reports(data, stack.settings.symbols)
    return [symbol in found and found[symbol]["ingestion"]["status"] == "ok" for symbol in stack.settings.symbols]

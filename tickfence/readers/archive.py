"""What is older than Redis keeps, from recordings. Without the extra ``recordings`` a note stands in its place.

Files are read in threads: few at a time, so that other requests go on, and each for a limited time. What an object store
does not answer ends when its client gives up (fsspec's packages each have a time-out); until then it takes a place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from tickfence.analytics.history_row import HistoryRow
from tickfence.monitoring.log_limit import LogLimit
from tickfence.readers.data_plane import Unavailable
from tickfence.readers.when import Range
from tickfence.recordings.extra import NotInstalled, load
from tickfence.timeline import events
from tickfence.timeline.events import Event, Place

logger = logging.getLogger(__name__)

AT_ONCE = 2
WITHIN_S = 10.0
"""Time for an answer, waiting for a thread included."""

_ALWAYS = {"time_ms", "token", "health", "status"}  # fields that every row has
_NOTHING = "recordings have nothing older in this range"
_MOST_IN_ONE_MS = 1000

Row = TypeVar("Row")


class Recorded(NamedTuple, Generic[Row]):
    """What recordings have.

    Attributes:
        rows: Oldest first.
        note: Why there are none, as the end of a sentence; ``None`` if there are some.
    """

    rows: Sequence[Row] = ()
    note: str | None = None


class Recordings:
    """Answers from recordings. Every method blocks, and may be called by several threads.

    Args:
        url: ``NT_RECORDINGS``. Nothing is read yet, and it need not exist.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._log_limit = LogLimit()

    def history(self, symbol: str, asked: Range, fields: Sequence[str], limit: int) -> Recorded[HistoryRow]:
        """Return the first ``limit`` rows of a range: of each step the last one.

        Args:
            symbol: Whose rows.
            asked: The range.
            fields: The fields that the caller will use.
            limit: How many rows at most.

        Raises:
            Unavailable: They cannot be read, or not in time.
        """

        def read() -> list[HistoryRow]:
            names = [name for name in self._queries.fields if name in {*fields, *_ALWAYS}]
            table = self._queries.history(symbol, asked.since_ms, asked.until_ms, asked.step_ms or 1, names, limit)
            return [HistoryRow(**row) for row in table.to_pylist()]

        return self._read(read)

    def events(self, begin: Place, end: Place, limit: int) -> Recorded[Event]:
        """Return the first ``limit`` events from ``begin`` to before ``end``.

        Raises:
            Unavailable: They cannot be read, or not in time.
        """

        def read() -> list[Event]:
            before = min(begin[1], _MOST_IN_ONE_MS)  # events of the first ms that are not in the span
            rows = self._queries.events(begin[0], end[0] + 1, limit + before)
            return [event for event in events.parse(rows) if begin <= events.place(event.id) < end][:limit]

        return self._read(read)

    @cached_property
    def _queries(self) -> Any:
        return load("queries").Queries(load("recording").Recording(self._url, WITHIN_S))

    def _read(self, read: Callable[[], list[Row]]) -> Recorded[Row]:
        if "://" not in self._url and not Path(self._url).is_dir():
            return Recorded(note=_NOTHING)  # most deployments record nothing: they need not load DuckDB to learn that
        try:
            rows = read()
        except NotInstalled as error:
            return Recorded(note=str(error))
        except load("queries").ERRORS as error:
            if self._log_limit.allows("unreadable") is not None:
                logger.warning("recordings cannot be read: %s", " ".join(str(error).split()))
            raise Unavailable("recordings cannot be read now; the server's log says why") from error
        return Recorded(rows, None if rows else _NOTHING)


class Archive:
    """Asks recordings without making others wait; a process needs one.

    Args:
        url: ``NT_RECORDINGS``.
    """

    def __init__(self, url: str) -> None:
        self._recordings = Recordings(url)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="recordings")
        self._places = asyncio.Semaphore(AT_ONCE)

    async def history(self, symbol: str, asked: Range, fields: Sequence[str], limit: int) -> Recorded[HistoryRow]:
        """See :meth:`Recordings.history`."""
        return await self._ask(partial(self._recordings.history, symbol, asked, fields, limit))

    async def events(self, begin: Place, end: Place, limit: int) -> Recorded[Event]:
        """See :meth:`Recordings.events`."""
        return await self._ask(partial(self._recordings.events, begin, end, limit))

    def close(self) -> None:
        """Begin no further query."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, query: Callable[[], Recorded[Row]]) -> Recorded[Row]:
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._places.acquire()
                answer = asyncio.get_running_loop().run_in_executor(self._threads, query)
                # The client may be gone by then: the place is free when the thread is.
                answer.add_done_callback(lambda _: self._places.release())
                return await asyncio.shield(answer)
        except TimeoutError:
            raise Unavailable(
                f"recordings have not answered within {WITHIN_S:g} s; ask for a shorter range or a longer step"
            ) from None

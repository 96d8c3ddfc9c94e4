"""Reading recordings.

Example:
    >>> recording = Recording("recordings")                                # doctest: +SKIP
    >>> recording.table(Kind.TRADES, ["BTCUSDT"], from_ms=1764151200000)   # doctest: +SKIP
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet as pq

from tickfence.recordings.deadline import Deadline
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS, File, counted
from tickfence.recordings.schemas import SCHEMAS, in_order
from tickfence.recordings.store import Store, damaged

T = TypeVar("T")

_LISTINGS = 5
"""Listings of one read: a file that is closed, or found damaged, while it is read makes the next one necessary."""
_OPTIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "temp_directory": "",  # what does not fit into memory is refused: the working folder may not be written
}

_LIMITED = "192MiB"
"""Memory of questions that are limited in time: who asks is a server, beside others in one small container."""

logger = logging.getLogger(__name__)


class Recording:
    """Everything that recorders have written into one folder, each row once, the open hour as well.

    Ranges of time are of ``time_ms``, from ``from_ms`` up to and without ``to_ms``. A file that cannot be read is
    logged once and left out. An object may be used by several threads.
    """

    def __init__(self, url: str, within_s: float | None = None, threads: int = 2) -> None:
        """Open a folder, or a URL that fsspec knows. Nothing is read yet, and it need not exist.

        Args:
            url: the folder, or the URL.
            within_s: time for one question (:meth:`ask`), listing the files included. DuckDB's memory is then limited as
                well. No limit by default.
            threads: of DuckDB.

        Raises:
            BadRecordings: fsspec does not know it.
        """
        self.store = Store(url)
        self._within_s = within_s
        self._damaged: set[File] = set()
        options = _OPTIONS | {"threads": threads}
        if within_s is not None:
            options["memory_limit"] = _LIMITED
        self._database = duckdb.connect(config=options)
        if not self.store.local:
            self._database.register_filesystem(self.store.fs)

    def table(
        self,
        kind: Kind,
        symbols: Iterable[str] | None = None,
        from_ms: int | None = None,
        to_ms: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Return rows by symbol, and of a symbol in the order of its stream (:func:`in_order`).

        Args:
            kind: which rows.
            symbols: only of these; all by default.
            from_ms: see above.
            to_ms: see above.
            columns: only these. Then the rows come in the order of the files, and one that two recorders wrote comes twice.
        """
        names = [SCHEMAS[kind].field(name).name for name in columns or SCHEMAS[kind].names]
        statement = f"SELECT {quoted(names)} FROM read_parquet($files) WHERE true"
        values: dict[str, Any] = {}
        if symbols is not None:
            statement += " AND symbol IN (SELECT unnest($symbols::VARCHAR[]))"
            values["symbols"] = list(symbols)
        if from_ms is not None:
            statement += " AND time_ms >= $from_ms"
            values["from_ms"] = from_ms
        if to_ms is not None:
            statement += " AND time_ms < $to_ms"
            values["to_ms"] = to_ms
        rows = self.ask(kind, from_ms, to_ms, statement, values, names)
        return rows if columns else in_order(kind, rows, once=True)

    def symbols(self, kind: Kind = Kind.DIFFS, from_ms: int | None = None, to_ms: int | None = None) -> list[str]:
        """Return the symbols that have rows of a kind."""
        statement = (
            "SELECT DISTINCT symbol FROM read_parquet($files) "
            "WHERE ($from_ms IS NULL OR time_ms >= $from_ms) AND ($to_ms IS NULL OR time_ms < $to_ms)"
        )
        found = self.ask(kind, from_ms, to_ms, statement, {"from_ms": from_ms, "to_ms": to_ms}, ["symbol"])
        return sorted(found["symbol"].to_pylist())

    def span(self, kind: Kind, symbol: str | None = None) -> tuple[int, int] | None:
        """Return the times of the first and the last row, ms; ``None`` without rows."""
        hours = sorted({file.hour_ms for file in self.store.files(kind)})
        ends = (self._span(kind, symbol, some) for some in (hours, reversed(hours)))
        first, last = next(ends), next(ends)
        return None if first is None or last is None else (first[0], last[1])

    def _span(self, kind: Kind, symbol: str | None, hours: Iterable[int]) -> tuple[int, int] | None:
        for hour_ms in hours:
            rows = self.table(kind, None if symbol is None else [symbol], hour_ms, hour_ms + HOUR_MS, ["time_ms"])
            if len(rows):
                found = pc.min_max(rows["time_ms"]).as_py()
                return found["min"], found["max"]
        return None

    def ask(
        self,
        kind: Kind,
        from_ms: int | None,
        to_ms: int | None,
        statement: str,
        values: Mapping[str, Any],
        names: Sequence[str],
    ) -> pa.Table:
        """Return DuckDB's answer from the files whose rows count.

        Args:
            kind: of the files.
            from_ms: only files that may have rows from this time on.
            to_ms: only files that may have rows before this time.
            statement: reads the parameter ``$files``. The other ones are in ``values``.
            values: bound to the statement's parameters.
            names: the columns that it selects.

        Raises:
            TimeoutError: it takes too long.
            duckdb.OutOfMemoryException: it needs too much memory.
        """
        schema = pa.schema([SCHEMAS[kind].field(name) for name in names])

        deadline = Deadline(self._within_s)

        def read(files: list[File]) -> pa.Table:
            if not files:
                return schema.empty_table()
            bound = {"files": [self.store.url(file) for file in files], **values}
            with self._database.cursor() as cursor, _interrupted_after(cursor, deadline.left_s()):
                return cursor.sql(statement, params=bound).to_arrow_table().cast(schema)

        return self.over(kind, from_ms, to_ms, read, deadline)

    def over(
        self,
        kind: Kind,
        from_ms: int | None,
        to_ms: int | None,
        read: Callable[[list[File]], T],
        deadline: Deadline | None = None,
    ) -> T:
        """Return what ``read`` makes of the files whose rows count.

        A recorder may close a file while it is read, so a file that is gone by then is looked for again.

        Args:
            kind: of the files.
            from_ms: see above.
            to_ms: see above.
            read: called with files that are there and not known to be damaged; any error of it is examined, unless it says
                that too much time or memory is needed.
            deadline: until when; no limit by default.

        Raises:
            TimeoutError: it takes longer.
        """
        deadline = deadline or Deadline(None)
        for left in reversed(range(_LISTINGS)):
            files = [f for f in counted(self.store.files(kind, from_ms, to_ms, deadline)) if f not in self._damaged]
            try:
                return read(files)
            # No file is to blame, and reading them all again would take long.
            except (TimeoutError, duckdb.OutOfMemoryException):
                raise
            except duckdb.InterruptException:
                deadline.left_s()
                raise
            except Exception:
                if not left or not self._explained(files, deadline):
                    raise
        raise AssertionError("the last listing returns or raises")

    def _explained(self, files: list[File], deadline: Deadline) -> bool:
        """Whether an error comes from files that are gone or damaged. These are not read again."""
        found = False
        for file in files:
            path = self.store.path(file)
            try:
                with self.store.fs.open(path, "rb") as stream:
                    for _ in pq.ParquetFile(stream).iter_batches():
                        deadline.left_s()
            except TimeoutError:
                raise
            except FileNotFoundError:
                found = True
            except (pa.ArrowInvalid, OSError) as error:
                if not damaged(error):
                    raise
                found = True
                self._damaged.add(file)
                logger.error("%s cannot be read and is left out: %s", path, " ".join(str(error).split()))
        return found


@contextmanager
def _interrupted_after(cursor: duckdb.DuckDBPyConnection, within_s: float | None) -> Iterator[None]:
    if within_s is None:
        yield
        return
    limit = Timer(within_s, cursor.interrupt)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()


def quoted(names: Iterable[str]) -> str:
    """Return names of columns as a list in a statement."""
    return ", ".join(f'"{name}"' for name in names)

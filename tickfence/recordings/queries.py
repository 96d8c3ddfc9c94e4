"""Questions of readers to a recording, answered by DuckDB over its files.

Every value is bound to its place in the statement. Of a caller's text, nothing becomes part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from tickfence.recordings.kinds import Kind
from tickfence.recordings.recording import Recording, quoted
from tickfence.recordings.rows import events
from tickfence.recordings.schemas import SCHEMAS
from tickfence.recordings.store import BadRecordings

FIELDS = tuple(name for name in SCHEMAS[Kind.HISTORY].names if name not in ("symbol", "time_ms", "stream_id"))
"""What a row of a symbol's history holds beside its time."""

# The times first: a window over whole rows would hold all of the range in memory.
_HISTORY = """
WITH newest AS (
    SELECT max(time_ms) AS newest_ms FROM read_parquet($files)
    WHERE symbol = $symbol AND time_ms >= $since AND time_ms < $until
    GROUP BY time_ms // $step ORDER BY newest_ms LIMIT $limit
)
SELECT {fields} FROM read_parquet($files)
WHERE symbol = $symbol AND time_ms >= $since AND time_ms < $until AND time_ms IN (SELECT newest_ms FROM newest)
QUALIFY row_number() OVER (PARTITION BY time_ms) = 1
ORDER BY time_ms
"""
_EVENTS = """
SELECT DISTINCT time_ms, id, fields FROM read_parquet($files)
WHERE time_ms >= $since AND time_ms < $until
ORDER BY split_part(id, '-', 1)::BIGINT {order}, split_part(id, '-', 2)::BIGINT {order} LIMIT $limit
"""


ERRORS = (duckdb.Error, pa.ArrowException, OSError, BadRecordings)
"""What a query raises when files cannot be read, or not in time."""


class Queries:
    """Answers about one recording. An object may be used by several threads."""

    fields = FIELDS

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def history(
        self,
        symbol: str,
        since_ms: int,
        until_ms: int,
        step_ms: int = 1,
        fields: Sequence[str] = FIELDS,
        limit: int = 100_000,
    ) -> pa.Table:
        """Return the newest row of each step, oldest first: ``time_ms`` and the fields.

        Args:
            symbol: whose history.
            since_ms: rows from this time on.
            until_ms: rows before this time.
            step_ms: steps begin at multiples of it; at least 1.
            fields: any of :data:`FIELDS`.
            limit: how many rows to return, the oldest ones.

        Raises:
            ValueError: A field is unknown, or the step is below 1.
        """
        if unknown := [name for name in fields if name not in FIELDS]:
            raise ValueError(f"fields {', '.join(unknown)}: must be of {', '.join(FIELDS)}")
        if step_ms < 1:
            raise ValueError(f"step {step_ms} ms must be at least 1")
        values = {"symbol": symbol, "since": since_ms, "until": until_ms, "step": step_ms, "limit": limit}
        statement = _HISTORY.format(fields=quoted(names := ["time_ms", *dict.fromkeys(fields)]))
        return self._recording.ask(Kind.HISTORY, since_ms, until_ms, statement, values, names)

    def events(
        self, since_ms: int, until_ms: int, limit: int = 1000, newest: bool = False
    ) -> list[tuple[str, dict[str, str]]]:
        """Return events, oldest first: id and fields of each, as in ``nt:events``.

        Args:
            since_ms: events from this time on.
            until_ms: events before this time.
            limit: how many to return.
            newest: where there are more, whether to return the newest ones.
        """
        values = {"since": since_ms, "until": until_ms, "limit": limit}
        statement = _EVENTS.format(order="DESC" if newest else "ASC")
        names = SCHEMAS[Kind.EVENTS].names
        found = events(self._recording.ask(Kind.EVENTS, since_ms, until_ms, statement, values, names))
        return found[::-1] if newest else found

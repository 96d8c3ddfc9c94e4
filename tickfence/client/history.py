"""A symbol's history as arrays. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tickfence.analytics.history_row import HistoryRow

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = (int, float)
_TYPES = {field.name: field.type for field in msgspec.structs.fields(HistoryRow)}


class HistoryPage(Struct, frozen=True):
    """One page of the answer."""

    symbol: str
    since: int
    until: int
    columns: dict[str, list[Any]]
    next: str | None
    note: str | None

    @property
    def times(self) -> list[int]:
        """The times of its rows, ms."""
        return self.columns.get("time_ms", [])


class History:
    """Rows of one symbol over time, oldest first: ``history["mid_price"]`` is an array.

    Attributes:
        symbol: Whose they are.
        since, until: The range, ms since 1970; ``until`` is not included.
        complete: Whether these are all rows of the range; if not, there are more than you asked for.
        note: What is missing and why, if anything is.
        fields: The names of the columns; ``time_ms`` comes first.
    """

    def __init__(
        self, symbol: str, since: int, until: int, columns: dict[str, list[Any]], *, complete: bool, note: str | None
    ) -> None:
        self.symbol, self.since, self.until = symbol, since, until
        self.complete, self.note = complete, note
        self.fields = tuple(columns)
        self._columns = columns

    @classmethod
    def of(cls, pages: Sequence[HistoryPage], *, complete: bool) -> History:
        """Return the rows of all ``pages``, of which there is at least one."""
        columns: dict[str, list[Any]] = {name: [] for name in pages[0].columns}
        for page in pages:
            for name, values in page.columns.items():
                columns[name] += values
        notes = "; ".join(dict.fromkeys(page.note for page in pages if page.note)) or None
        first = pages[0]
        return cls(first.symbol, first.since, first.until, columns, complete=complete, note=notes)

    def __len__(self) -> int:
        return len(self._columns.get("time_ms", []))

    def __repr__(self) -> str:
        return f"History({self.symbol!r}, {len(self)} rows of {', '.join(self.fields)})"

    def __getitem__(self, field: str) -> NDArray[Any]:
        """Return one column.

        ``time_ms`` and ``token`` are int64. All other numbers are float64, NaN where a report left the number out. Words
        like ``status`` are strings, empty where there is none.

        Raises:
            KeyError: You did not ask for this field.
        """
        values = self._columns[field]
        kinds = [kind for kind in get_args(_TYPES.get(field, str)) if kind is not NoneType]
        if _TYPES.get(field) is int:
            return np.array(values, np.int64)
        if _TYPES.get(field) is float or any(kind in _NUMBERS for kind in kinds):
            return np.array([np.nan if value is None else value for value in values], np.float64)
        return np.array(["" if value is None else value for value in values], np.str_)

    @property
    def times(self) -> NDArray[np.datetime64]:
        """The times of the rows, UTC, as ``datetime64[ms]``."""
        return self["time_ms"].astype("datetime64[ms]")

    def arrow(self) -> pa.Table:
        """Return the rows as an Arrow table; what a report left out is null. Needs ``pip install 'tickfence[arrow]'``.

        Raises:
            ImportError: pyarrow is not installed.
        """
        import pyarrow as pa  # noqa: PLC0415 - of the extra [arrow]

        times = pa.array(self._columns["time_ms"], pa.timestamp("ms", tz="UTC"))
        others = {name: pa.array(values) for name, values in self._columns.items() if name != "time_ms"}
        return pa.table({"time": times, **others})

"""What is appended with the writes of a symbol: rows of its history, and what they were made from. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from zlib import crc32

from tasks.symbol_events import BesideTheReport, Kind, Note
from tasks.warm_symbol import WarmSymbol
from tickfence.analytics import basis, history_row
from tickfence.analytics.report import Report
from tickfence.coordination.lease import Entry, Write
from tickfence.instrument import Instrument
from tickfence.keys import Keys

BASES_KEPT = 20
"""Bases that a stream keeps with a row a second, and more with more rows: some 25 s. The diffs that they name live for 15 s,
and a recorder reads twice a second."""

BASIS_EVERY = 4
"""Every so many rows, the first included, what the report was made from is appended too: it costs as much as the row."""

MEMBERS_EVERY = 20
"""Every so many rows, the first included, that has a number of each member of the report as well."""

_WAITING_KEPT = 20

_SET_BACK_MS = 2_000
"""A clock that is further behind the latest time that was seen was set back."""
_BEYOND_MS = 60_000
"""Redis appends later than the entry was made, but never by so much."""


class SymbolHistory:
    """History of one symbol, as this node goes on with it.

    A row is made once in each interval of the server's clock, for every symbol at another time in it, and is appended with
    the write of the very report that it is of. What changed the state (starts and slow cycles) waits until a write is
    accepted, and goes with that.

    Nothing of it may cost a report: what cannot be made is told, and missing.

    Args:
        symbol: whose history.
        keys: of the deployment.
        owner: this process start, node/incarnation.
        interval_ms: the least time between two rows.
        rows: about how many are kept; 0 turns history off.
        note: is called when something cannot be made.

    Example:
        >>> history = SymbolHistory(Instrument("BTCUSDT"), Keys(), "node-001/5f0c", interval_ms=1000, rows=3600, note=print)
        >>> if history.due(now_ms):
        ...     history.add_report(made, data, warm)
        >>> write = lease.next_write(values, entries=history.entries())
    """

    def __init__(self, symbol: Instrument, keys: Keys, owner: str, *, interval_ms: int, rows: int, note: Note) -> None:
        self._row_beside, self._basis_beside = (
            BesideTheReport(note, symbol, missing) for missing in (Kind.NO_ROW, Kind.NO_BASIS)
        )
        self._rows_key, self._bases_key = keys.history(symbol), keys.basis(symbol)
        self._owner, self._interval_ms, self._rows = owner, interval_ms, rows
        self._bases = max(BASES_KEPT, BASES_KEPT * 1000 // interval_ms)
        self._phase_ms = crc32(symbol.encode()) % interval_ms
        self._interval: int | None = None
        self._newest_ms = 0
        self._number = self._made = 0
        self._waiting: deque[Entry] = deque(maxlen=_WAITING_KEPT)
        self._of_report: tuple[Report, bytes, WarmSymbol] | None = None

    def due(self, now_ms: int) -> bool:
        """Whether the report of ``now_ms`` (server ms) gets a row."""
        return self._rows > 0 and self._interval_of(now_ms) != self._interval

    def add_report(self, made: Report, data: bytes, warm: WarmSymbol) -> None:
        """Add the row of a report, and now and then what it was made from, to the next :meth:`entries`.

        Args:
            made: the report.
            data: its bytes.
            warm: what it was made from. It must not read on before that call.
        """
        self._of_report = made, data, warm
        self._interval = self._interval_of(made.updated_at)

    def add_sections(self, now_ms: int, sections: bytes, carried: bytes | None, warm: WarmSymbol, token: int) -> None:
        """Add what slow sections were made from.

        Args:
            now_ms: that they were computed with, server ms.
            sections: their bytes.
            carried: what was left for the next owner with them, or ``None``.
            warm: what they were made from.
            token: the fencing token of now.
        """
        if not self._rows:
            return

        def made_from() -> Entry:
            carry = None if carried is None else basis.digest(carried)
            return self._basis(
                basis.Kind.SLOW, now_ms, token, warm.inputs(), digest=basis.digest(sections), carry=carry
            )

        self._add_change(made_from)

    def add_starts(self, starts: Iterable[tuple[basis.Start, basis.Inputs] | None], token: int) -> None:
        """Add what the state has started from, each with the inputs that it then had; ``None`` where that is not known."""
        for started in starts if self._rows else ():
            if started is None:
                self._number += 1
            else:
                start, inputs = started
                self._add_change(partial(self._basis, basis.Kind.START, inputs.started_ms, token, inputs, start=start))

    def entries(self) -> tuple[Entry, ...]:
        """What goes with the next write."""
        if self._of_report is None:
            return tuple(self._waiting) if self._waiting else ()
        of_report, self._of_report = self._of_report, None
        return (*self._waiting, *self._entries_of(*of_report))

    def _entries_of(self, made: Report, data: bytes, warm: WarmSymbol) -> list[Entry]:
        number, self._made = self._made, self._made + 1
        entries = []
        with self._row_beside:
            row = history_row.pack(history_row.of_report(made, warm.state.slow))
            entries.append(Entry(self._rows_key, self._rows, "r", row, self._least(made.updated_at)))
        if number % BASIS_EVERY == 0:
            with self._basis_beside:
                of_report = self._basis(
                    basis.Kind.REPORT,
                    made.updated_at,
                    made.writer.writer_token,
                    warm.inputs(),
                    digest=basis.report_digest(data),
                    members=basis.members(data) if number % MEMBERS_EVERY == 0 else {},
                )
                entries.append(of_report)
        return entries

    def accepted(self, write: Write) -> None:
        """Take that a write was accepted: what went with it waits no more."""
        if self._waiting:
            self._waiting = deque((e for e in self._waiting if e not in write.entries), maxlen=_WAITING_KEPT)

    def refused(self, write: Write) -> None:
        """Take that a write was refused: the next report makes up for its row."""
        if any(entry.key == self._rows_key for entry in write.entries):
            self._interval = None

    def _interval_of(self, now_ms: int) -> int:
        return (now_ms + self._phase_ms) // self._interval_ms

    def _add_change(self, made_from: Callable[[], Entry]) -> None:
        self._number += 1  # in any case: a reader sees that one is missing
        with self._basis_beside:
            self._waiting.append(made_from())

    def _basis(self, kind: basis.Kind, at_ms: int, token: int, inputs: basis.Inputs, **of_kind: Any) -> Entry:
        made_from = basis.Basis(
            version=basis.VERSION,
            kind=kind,
            number=self._number,
            at_ms=at_ms,
            owner=self._owner,
            token=token,
            inputs=inputs,
            **of_kind,
        )
        return Entry(self._bases_key, self._bases, "b", basis.encode(made_from), self._least(at_ms))

    def _least(self, now_ms: int) -> int:
        """Where a stream that Redis has lost begins again: beyond every id that it had; 0 unless the clock was set back."""
        self._newest_ms = max(self._newest_ms, now_ms)
        return self._newest_ms + _BEYOND_MS if now_ms < self._newest_ms - _SET_BACK_MS else 0

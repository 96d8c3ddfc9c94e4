"""What happens to one symbol on a node, as its state tells it; :mod:`tasks.symbol_log` counts and logs it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import NamedTuple

from tickfence.instrument import Instrument


class Kind(Enum):
    """What happened, as its log line says it; ``{}`` stands for the event's detail."""

    LEASE_TAKEN = "lease taken"
    LEASE_STALE = "lease refused: this message is of an older assignment"
    LEASE_CONFLICT = "lease refused: another owner of this generation holds it"
    """Detail: that owner, ``node/incarnation``."""
    BAD_LEASE = "the lease cannot be acquired: {}"
    BAD_ENTRY = "unreadable market data: {}"
    ERROR = "no report, because of an error: {}"
    """The event's error is the exception."""
    PAUSE = "no report: the node waits before it tries again"
    NO_SYMBOL = "the dispatch names something that is not a symbol: {}"
    NO_TICK_SIZE = "no volume profile: the symbol's info has no tick size above 0"
    COLD_START = "the book is loaded from the snapshot: {}"
    """Detail: a label of ``nt_cold_starts``."""
    GAP = "the book must be loaded again: {}"
    RENUMBERED = "the exchange has started its update ids again"
    NOT_TAKEN_OVER = "cannot use what the last owner left: {}"
    NO_SNAPSHOT = "no report: the book is not known"
    CROSSED = "no report: the sides of the book cross"
    HORIZON = "no report: the book does not know the levels that a report shows"
    NO_ROW = "the history lacks a row, because of an error: {}"
    NO_BASIS = "it is not kept what a report was made from, because of an error: {}"
    """The event's error is the exception of both."""
    FENCED = "write refused by the fence"
    """Although its lease had just been granted."""


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        kind: what.
        symbol: to which symbol.
        detail: as the kind says, or "".
        token: fencing token, where it is about the lease; else 0.
        error: the exception that is logged with its traceback, where there is one.
    """

    kind: Kind
    symbol: Instrument
    detail: str = ""
    token: int = 0
    error: Exception | None = None


Note = Callable[[Event], None]
"""Is called with each event."""


class BesideTheReport:
    """Within its ``with`` block something is made that goes with a report.

    An exception is told and goes no further, so that the report goes out without it. May be used again and again.

    Args:
        note: is called with what happens.
        symbol: whose report.
        missing: what then is missing.

    Example:
        >>> with BesideTheReport(print, Instrument("BTCUSDT"), Kind.NO_ROW):  # doctest: +SKIP
        ...     entries.append(row(report))
    """

    __slots__ = ("_missing", "_note", "_symbol")

    def __init__(self, note: Note, symbol: Instrument, missing: Kind) -> None:
        self._note, self._symbol, self._missing = note, symbol, missing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self._note(Event(self._missing, self._symbol, f"{type(error).__name__}: {error}", error=error))
        return True

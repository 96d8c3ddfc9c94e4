"""What happens to one symbol on a node, as its state tells it; :mod:`tasks.symbol_log` counts and logs it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from tickfence.instrument import Instrument


class Kind(Enum):
    """What happened, and what the event's detail says."""

    LEASE_TAKEN = auto()
    LEASE_STALE = auto()
    """The lease was refused: the message is of an older assignment."""
    LEASE_CONFLICT = auto()
    """The lease was refused: another owner of this generation holds it. Detail: that owner, ``node/incarnation``."""
    BAD_LEASE = auto()
    """The lease's key does not hold a lease. Detail: Redis' error."""
    BAD_ENTRY = auto()
    """A market-data key does not hold what ingest writes. Detail: the error."""
    COLD_START = auto()
    """The book was loaded from the snapshot. Detail: why."""
    GAP = auto()
    """A diff does not connect to the book. Detail: the numbers."""
    RENUMBERED = auto()
    """The exchange has started its update ids again."""
    NOT_TAKEN_OVER = auto()
    """What the last owner left cannot be used. Detail: the error."""
    NO_SNAPSHOT = auto()
    """No report: the book is not known."""
    CROSSED = auto()
    """No report: the sides of the book cross."""
    FENCED = auto()
    """A write was refused although its lease had just been granted."""


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        kind: what.
        symbol: to which symbol.
        detail: as the kind says, or "".
        token: fencing token, where it is about the lease; else 0.
    """

    kind: Kind
    symbol: Instrument
    detail: str = ""
    token: int = 0


Note = Callable[[Event], None]
"""Is called with each event."""

"""A cycle's symbols: in slices over its period, each slice in messages to the owners. Pure.

A slice falls due at its own time within the period, so that there is no burst, and no node that works at once and then
waits.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from celery.beat import ScheduleEntry

from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.settings import Settings

SLICE_MS = 50
"""The least time between two slices."""

SYMBOLS_A_SLICE = 8
"""A cycle of up to this many symbols is one slice, unless its task asks to be spread."""

SYMBOLS_A_MESSAGE = 128
"""How many symbols share a message if there are too many for one each. Celery's cost of a message is small then."""


class Message(NamedTuple):
    """One task message.

    Attributes:
        owner: who it is for.
        symbols: the symbols to report on.
    """

    owner: Owner
    symbols: tuple[Instrument, ...]


def fan_out(owners: Mapping[Instrument, Owner], limit: int) -> list[Message]:
    """The messages that bring every symbol to its owner.

    An owner of up to ``limit`` symbols gets one message a symbol. An owner of more gets as few messages as hold
    :data:`SYMBOLS_A_MESSAGE` symbols each, but at most ``limit``, all of about the same size.

    Args:
        owners: symbol -> owner.
        limit: how many messages an owner may get.

    Example:
        >>> a = Owner("node-001", "x")
        >>> [m.symbols for m in fan_out({"ADAUSDT": a, "BNBUSDT": a}, limit=2)]
        [('ADAUSDT',), ('BNBUSDT',)]
        >>> [m.symbols for m in fan_out({"ADAUSDT": a, "BNBUSDT": a}, limit=1)]
        [('ADAUSDT', 'BNBUSDT')]
    """
    held: dict[Owner, list[Instrument]] = defaultdict(list)
    for symbol in sorted(owners):
        held[owners[symbol]].append(symbol)
    messages = []
    for owner in sorted(held):
        symbols = held[owner]
        count = len(symbols) if len(symbols) <= limit else min(limit, -(-len(symbols) // SYMBOLS_A_MESSAGE))
        bounds = [len(symbols) * i // count for i in range(count + 1)]
        messages += [Message(owner, tuple(symbols[start:end])) for start, end in pairwise(bounds)]
    return messages


def slices(symbols: Sequence[Instrument], limit: int) -> list[tuple[Instrument, ...]]:
    """``symbols`` in up to ``limit`` slices of about the same size.

    Example:
        >>> slices(["ADAUSDT", "BNBUSDT", "BTCUSDT"], limit=2)
        [('ADAUSDT', 'BTCUSDT'), ('BNBUSDT',)]
    """
    count = min(limit, len(symbols))
    return [tuple(symbols[i::count]) for i in range(count)]


@dataclass
class SlicedCycle:
    """The symbols of one entry, and when each slice of them falls due.

    Attributes:
        entry: Celery's entry of the schedule.
        slices: the symbols, in slices that fall due one after the other.
        message_limit: how many messages a node gets for one slice; see :func:`fan_out`.
        urgent: whether its reports go first if a node cannot serve all.
        due: (monotonic seconds, number of the slice) of what is still to fall due, the next one first.
    """

    entry: ScheduleEntry
    slices: list[tuple[Instrument, ...]]
    message_limit: int
    urgent: bool
    due: deque[tuple[float, int]] = field(default_factory=deque)

    @classmethod
    def of(cls, entry: ScheduleEntry, task: Any, settings: Settings) -> SlicedCycle:
        """The cycle of ``entry``.

        If ``task.spread`` is true, there are as many slices as the period allows; else just enough to avoid a burst.
        The slices depend on the symbols alone, so that a change of nodes shifts no symbol in time.
        """
        symbols, cap = settings.symbols, settings.nt_max_tasks_per_cycle
        slice_limit = max(1, min(cap, entry.schedule.run_every // timedelta(milliseconds=SLICE_MS)))
        count = slice_limit if task.spread else min(slice_limit, -(-len(symbols) // SYMBOLS_A_SLICE))
        return cls(entry, slices(symbols, count), max(1, cap // count), urgent=not task.spread)

    def begin(self, entry: ScheduleEntry, now: float) -> None:
        """Begin a cycle at ``now`` (monotonic seconds).

        Slices of the cycle before that are overdue fall due with it. Those that were to fall due later do not.
        """
        self.entry = entry
        period, count = entry.schedule.run_every.total_seconds(), len(self.slices)
        overdue = (slice_ for slice_ in self.due if slice_[0] <= now)
        self.due = deque([*overdue, *((now + i * period / count, i) for i in range(count))])

    def pop_due(self, now: float) -> list[int]:
        """Remove the slices that are due at ``now`` (monotonic seconds); return their numbers."""
        numbers = []
        while self.due and self.due[0][0] <= now:
            numbers.append(self.due.popleft()[1])
        return numbers

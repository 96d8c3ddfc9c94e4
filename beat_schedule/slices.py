"""A cycle's symbols: in slices over its period, each slice in messages to the owners. Pure.

A slice falls due at its own time within the period, so that there is no burst, and no node that works at once and then
waits.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

from celery.beat import ScheduleEntry

from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

SLICE_MS = 50
"""The least time between two slices."""

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


def slice_of(symbol: Instrument, count: int) -> int:
    """The number of the slice that a symbol is in, of ``count`` slices.

    It follows from the name alone. So a symbol keeps its moment when others are added or removed, when nodes come and
    go, and when another beat takes over.

    Example:
        >>> slice_of("BTCUSDT", 5), slice_of("ETHUSDT", 5)
        (1, 3)
    """
    return int.from_bytes(blake2b(symbol.encode(), digest_size=8).digest()) * count >> 64


@dataclass
class SlicedCycle:
    """The symbols of one entry, and when each slice of them falls due.

    Attributes:
        entry: Celery's entry of the schedule.
        count: how many slices there are.
        message_limit: how many messages a node gets for one slice; see :func:`fan_out`.
        urgent: whether its reports go first if a node cannot serve all.
        slices: the symbols of each slice.
        due: (monotonic seconds, number of the slice) of what is still to fall due, the next one first.
    """

    entry: ScheduleEntry
    count: int
    message_limit: int
    urgent: bool
    slices: list[tuple[Instrument, ...]] = field(default_factory=list)
    due: deque[tuple[float, int]] = field(default_factory=deque)
    _symbols: Collection[Instrument] = ()

    @classmethod
    def of(cls, entry: ScheduleEntry, task: Any, max_messages: int) -> SlicedCycle:
        """The cycle of ``entry``, in as many slices as its period and ``max_messages`` to a node allow.

        If ``task.spread`` is true, it is not urgent.
        """
        count = max(1, min(max_messages, entry.schedule.run_every // timedelta(milliseconds=SLICE_MS)))
        return cls(entry, count, max(1, max_messages // count), urgent=not task.spread)

    def begin(self, entry: ScheduleEntry, symbols: Collection[Instrument], now: float) -> None:
        """Begin a cycle of ``symbols`` at ``now`` (monotonic seconds).

        Slices of the cycle before that are overdue fall due with it. Those that were to fall due later do not.
        """
        self.entry = entry
        self.follow(symbols)
        period = entry.schedule.run_every.total_seconds()
        overdue = (slice_ for slice_ in self.due if slice_[0] <= now)
        begun = ((now + i * period / self.count, i) for i in range(self.count) if self.slices[i])
        self.due = deque([*overdue, *begun])

    def follow(self, symbols: Collection[Instrument]) -> None:
        """Have these symbols in the slices, and no others."""
        if symbols == self._symbols:
            return
        self._symbols = symbols
        slices: list[list[Instrument]] = [[] for _ in range(self.count)]
        for symbol in symbols:
            slices[slice_of(symbol, self.count)].append(symbol)
        self.slices = [tuple(one) for one in slices]

    def pop_due(self, now: float) -> list[int]:
        """Remove the slices that are due at ``now`` (monotonic seconds); return their numbers."""
        numbers = []
        while self.due and self.due[0][0] <= now:
            numbers.append(self.due.popleft()[1])
        return numbers

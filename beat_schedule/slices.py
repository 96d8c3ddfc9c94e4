"""A cycle's symbols: when each falls due within the period, and in which messages it reaches its owner. Pure.

A period has a fixed number of phases, and a symbol's phase follows from its name alone. So a symbol keeps its moment when
others are added or removed, when nodes come and go, and when another beat takes over.

How many messages a node gets follows from its number of symbols, because a message costs more than a report: one for
several phases together, at the first of them, so that as many symbols share it as are worth a message. So the number of
messages hardly depends on how many nodes share the symbols. Only in a deployment of few symbols each has its own message,
in its own phase.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

from celery.beat import ScheduleEntry

from tickfence.coordination.owner import Owner
from tickfence.coordination.shards import shard_of
from tickfence.instrument import Instrument

PHASE_MS = 50
"""The least time between two phases."""

OF_THEIR_OWN = 8
"""Symbols of all nodes together that still have a message each."""
AT_ONCE, AT_ONCE_SPREAD = 64, 32
"""Symbols that share a moment if there are phases enough; of tasks that are not urgent, and take longer for a symbol."""
SYMBOLS_A_MESSAGE = 128
"""How many symbols share a message if too many share a moment. Celery's cost of a message is small then."""

Messages = list[tuple[Instrument, ...]]
"""The symbols of each message."""


class Message(NamedTuple):
    """One task message.

    Attributes:
        owner: who it is for.
        symbols: the symbols to report on.
    """

    owner: Owner
    symbols: tuple[Instrument, ...]


def fan_out(owners: Mapping[Instrument, Owner], limit: int) -> list[Message]:
    """The messages that bring every symbol to its owner now.

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
    held, own = _by_owner(owners), len(owners) <= OF_THEIR_OWN
    return [
        Message(owner, symbols) for owner in sorted(held) for symbols in _messages(sorted(held[owner]), limit, own=own)
    ]


def phase_of(symbol: Instrument, count: int) -> int:
    """The phase of a symbol, of ``count`` phases.

    Example:
        >>> phase_of("BTCUSDT", 4), phase_of("ETHUSDT", 4)
        (1, 2)
    """
    return int.from_bytes(blake2b(symbol.encode(), digest_size=8).digest()) * count >> 64


def _by_owner(owners: Mapping[Instrument, Owner]) -> dict[Owner, list[Instrument]]:
    held: dict[Owner, list[Instrument]] = defaultdict(list)
    for symbol, owner in owners.items():
        held[owner].append(symbol)
    return held


def _messages(symbols: Sequence[Instrument], limit: int, *, own: bool) -> Messages:
    """Symbols in messages of about the same size: one each, or as few as hold `SYMBOLS_A_MESSAGE` each."""
    count = len(symbols) if own else -(-len(symbols) // SYMBOLS_A_MESSAGE)
    bounds = [len(symbols) * i // min(limit, count) for i in range(min(limit, count) + 1)]
    return [tuple(symbols[start:end]) for start, end in pairwise(bounds)]


class NodeSlices:
    """One node's messages of a cycle.

    Args:
        symbols: the node's symbols, each with its phase; if there are shards, those of one.
        phases: how many phases the period has: a power of two.
        at_once: how many symbols share a moment, if there are phases enough; 0 if each has its own message.
        limit: how many messages the node may get in a cycle.
        share: how many symbols the node has in a shard, on average. All its shards have as many slices, so that those
            of a node that cannot keep up have the same rate.

    Attributes:
        width: how many phases go together, at the first of them: a power of two, so that a symbol's moment moves by as
            little as can be when the node gets more symbols or fewer.
        at: phase -> the messages that fall due then.
    """

    __slots__ = ("at", "width")

    def __init__(
        self, symbols: Iterable[tuple[Instrument, int]], phases: int, at_once: int, limit: int, share: float
    ) -> None:
        found = sorted(symbols)
        slices = 1
        while slices < phases and share > slices * at_once:
            slices *= 2
        self.width = phases // slices
        together: dict[int, list[Instrument]] = defaultdict(list)
        for symbol, phase in found:
            together[self.start(phase)].append(symbol)
        own = not at_once and len(found) <= limit
        most = limit if own else max(1, limit // slices)
        self.at = {start: _messages(together[start], most, own=own) for start in sorted(together)}

    def start(self, phase: int) -> int:
        """The phase at which the symbols of ``phase`` go."""
        return phase - phase % self.width


_NONE = NodeSlices((), 1, 1, 1, 0)


@dataclass
class SlicedCycle:
    """The symbols of one entry, and when they fall due.

    Attributes:
        entry: Celery's entry of the schedule.
        phases: how many phases its period has: a power of two.
        limit: how many messages a node may get in a cycle.
        urgent: whether its reports go first if a node cannot serve all.
        shard: whose symbols this cycle has.
        shards: into how many the symbols of all nodes are split.
        due: (monotonic seconds, phase) of what is still to fall due, the next one first.
    """

    entry: ScheduleEntry
    phases: int
    limit: int
    urgent: bool
    shard: int = 0
    shards: int = 1
    due: deque[tuple[float, int]] = field(default_factory=deque)
    _phase: dict[Instrument, int] = field(default_factory=dict)
    _symbols: Collection[Instrument] = ()
    _owners: Mapping[Instrument, Owner] = field(default_factory=dict)
    _nodes: dict[Owner, NodeSlices] = field(default_factory=dict)
    _at: Mapping[int, list[Owner]] = field(default_factory=dict)

    @classmethod
    def of(cls, entry: ScheduleEntry, task: Any, limit: int, shard: int = 0, shards: int = 1) -> SlicedCycle:
        """The cycle of ``entry``, with as many phases as its period and ``limit`` allow.

        If ``task.spread`` is true, it is not urgent.
        """
        count = max(1, min(limit, entry.schedule.run_every // timedelta(milliseconds=PHASE_MS)))
        return cls(entry, 1 << (count.bit_length() - 1), limit, not task.spread, shard, shards)

    def begin(self, entry: ScheduleEntry, symbols: Collection[Instrument], now: float) -> None:
        """Begin a cycle of those of ``symbols`` that are in its shard, at ``now`` (monotonic seconds).

        Phases of the cycle before that are overdue fall due with it. Those that were to fall due later do not.
        """
        self.entry = entry
        if symbols != self._symbols:
            self._symbols = symbols
            own = (symbol for symbol in symbols if shard_of(symbol, self.shards) == self.shard)
            self._phase = {symbol: phase_of(symbol, self.phases) for symbol in own}
            self._owners = {}
        phase_s = entry.schedule.run_every.total_seconds() / self.phases
        first = now if self.urgent else now + phase_s / 2  # between those of urgent cycles, which then need not wait
        overdue = (one for one in self.due if one[0] <= now)
        self.due = deque([*overdue, *((first + i * phase_s, i) for i in range(self.phases))])

    def pop_due(self, now: float) -> list[int]:
        """Remove the phases that are due at ``now`` (monotonic seconds); return them."""
        found = []
        while self.due and self.due[0][0] <= now:
            found.append(self.due.popleft()[1])
        return found

    def next_due(self, owners: Mapping[Instrument, Owner]) -> float | None:
        """When the next messages fall due (monotonic seconds); ``None`` if none do in this cycle."""
        self._follow(owners)
        return next((at for at, phase in self.due if phase in self._at), None)

    def nodes_at(self, phase: int, owners: Mapping[Instrument, Owner]) -> Sequence[Owner]:
        """The nodes for which messages fall due at a phase."""
        self._follow(owners)
        return self._at.get(phase, ())

    def node(self, owner: Owner, owners: Mapping[Instrument, Owner]) -> NodeSlices:
        """The messages of one node."""
        self._follow(owners)
        return self._nodes.get(owner, _NONE)

    def _follow(self, owners: Mapping[Instrument, Owner]) -> None:
        if owners is self._owners:
            return
        self._owners = owners
        phase, at_once = self._phase, AT_ONCE if self.urgent else AT_ONCE_SPREAD
        if len(owners) <= OF_THEIR_OWN:
            at_once = 0
        self._nodes, at = {}, defaultdict(list)
        for owner, symbols in sorted(_by_owner(owners).items()):
            own = ((one, phase[one]) for one in symbols if one in phase)
            slices = NodeSlices(own, self.phases, at_once, self.limit, len(symbols) / self.shards)
            self._nodes[owner] = slices
            for start in slices.at:
                at[start].append(owner)
        self._at = at

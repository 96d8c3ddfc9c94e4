"""The slices that fell due and wait for room in a node's queue. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from beat_schedule.slices import Message, SlicedCycle
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

URGENT_IN_A_ROW = 3
"""After this many urgent slices one of the others goes, if it waits. So the others become fewer, but never stop."""

_Phases = dict[int, None]
"""Phases whose slice waits, the one that has waited longest first."""


class PendingSlices:
    """The slices that fell due and are not sent yet: for each node, the one that has waited longest first.

    A node that keeps up is sent each slice when it falls due. A node that does not keep up gets as many as its queue
    has room for, in turn. So all its symbols have reports at the same lower rate, and none waits in the queue until it
    is too late.

    Example:
        >>> pending = PendingSlices()
        >>> pending.add(fast, 0, owners)
        0
        >>> [(cycle.entry.name, message.symbols) for cycle, message in pending.take(owners, {node: 0})]
        [('fast-cycle', ('ADAUSDT',))]
    """

    def __init__(self) -> None:
        self._behind: frozenset[Owner] = frozenset()  # something waited when the last messages had been taken
        self._waiting: dict[Owner, dict[str, tuple[SlicedCycle, _Phases]]] = {}  # by node and entry
        self._urgent_in_a_row: dict[Owner, int] = {}

    def clear(self) -> None:
        """Forget all slices."""
        self._behind = frozenset()
        self._waiting.clear()
        self._urgent_in_a_row.clear()

    def nodes(self) -> list[Owner]:
        """Owners for which a slice waits."""
        return list(self._waiting)

    def add(self, cycle: SlicedCycle, phase: int, owners: Mapping[Instrument, Owner]) -> int:
        """Add the slices that fell due.

        Args:
            cycle: their cycle; one for each entry of the schedule.
            phase: at which they fell due.
            owners: symbol -> owner, as of now.

        Returns:
            For how many nodes the slice still waits since a cycle before. Those nodes get it only once.
        """
        lost = 0
        for owner in cycle.nodes_at(phase, owners):
            _, phases = self._waiting.setdefault(owner, {}).setdefault(cycle.entry.name, (cycle, {}))
            lost += phase in phases
            phases.setdefault(phase)
        return lost

    def take(
        self, owners: Mapping[Instrument, Owner], backlog: Mapping[Owner, int], *, turn: bool = True
    ) -> list[tuple[SlicedCycle, Message]]:
        """Remove and return what can be sent now. A slice goes whole or waits.

        Args:
            owners: symbol -> owner, as of now; what waits for other owners is forgotten.
            backlog: how many messages are in the queue of each of :meth:`nodes`. What is for a node that is left out
                waits.
            turn: whether it is this shard's turn. Otherwise a node that is behind gets something only if its queue is
                empty: so shards that share a node that cannot keep up have equal parts of its time.
        """
        alive = set(owners.values())
        self._urgent_in_a_row = {owner: count for owner, count in self._urgent_in_a_row.items() if owner in alive}
        messages = []
        for owner in list(self._waiting):
            if owner not in alive:
                del self._waiting[owner]
                continue
            if owner in backlog and (turn or owner not in self._behind or backlog[owner] == 0):
                messages += self._take_for(owner, owners, backlog[owner])
            if not any(phases for _, phases in self._waiting[owner].values()):
                del self._waiting[owner]
        self._behind = frozenset(self._waiting)
        return messages

    def _take_for(
        self, owner: Owner, owners: Mapping[Instrument, Owner], backlog: int
    ) -> list[tuple[SlicedCycle, Message]]:
        waiting = self._waiting[owner]
        slices = {name: cycle.node(owner, owners) for name, (cycle, _) in waiting.items()}
        for name, (cycle, phases) in waiting.items():  # with other symbols a node has other slices
            waiting[name] = cycle, dict.fromkeys(map(slices[name].start, phases))
        # A slice of each kind may wait while another is worked on. More would be too late when their turn comes.
        first = [slices[name].at.get(next(iter(phases)), ()) for name, (_, phases) in waiting.items() if phases]
        room = max([2, *map(len, first)]) + 1 - backlog
        messages: list[tuple[SlicedCycle, Message]] = []
        while (chosen := self._next(owner)) is not None:
            cycle, phases = chosen
            name, phase = cycle.entry.name, next(iter(phases))
            found = slices[name].at.get(phase, ())
            if len(found) > room:
                break
            del phases[phase]
            waiting[name] = waiting.pop(name)  # the others of its urgency go first next time
            self._urgent_in_a_row[owner] = self._urgent_in_a_row.get(owner, 0) + 1 if cycle.urgent else 0
            messages += ((cycle, Message(owner, symbols)) for symbols in found)
            room -= len(found)
        return messages

    def _next(self, owner: Owner) -> tuple[SlicedCycle, _Phases] | None:
        """The cycle whose slice is next: an urgent one, unless the others were passed over often enough."""
        waiting = [found for found in self._waiting[owner].values() if found[1]]
        urgent = self._urgent_in_a_row.get(owner, 0) < URGENT_IN_A_ROW
        return min(waiting, key=lambda found: found[0].urgent != urgent, default=None)

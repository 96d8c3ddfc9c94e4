"""The slices that fell due and wait for room in a node's queue. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from beat_schedule.slices import Message, SlicedCycle, fan_out
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

URGENT_IN_A_ROW = 3
"""After this many urgent slices one of the others goes, if it waits. So the others become fewer, but never stop."""

_Numbers = dict[int, None]
"""Numbers of slices, the one that has waited longest first."""


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
        self._waiting: dict[Owner, dict[str, tuple[SlicedCycle, _Numbers]]] = {}  # by node and entry
        self._urgent_in_a_row: dict[Owner, int] = {}

    def clear(self) -> None:
        """Forget all slices."""
        self._waiting.clear()
        self._urgent_in_a_row.clear()

    def nodes(self) -> list[Owner]:
        """Owners for which a slice waits."""
        return list(self._waiting)

    def add(self, cycle: SlicedCycle, number: int, owners: Mapping[Instrument, Owner]) -> int:
        """Add a slice that fell due.

        Args:
            cycle: its cycle; one for each entry of the schedule.
            number: its number in the cycle.
            owners: symbol -> owner, as of now.

        Returns:
            For how many nodes the slice still waits since a cycle before. Those nodes get it only once.
        """
        lost = 0
        for owner in {owners[symbol] for symbol in cycle.slices[number] if symbol in owners}:
            _, numbers = self._waiting.setdefault(owner, {}).setdefault(cycle.entry.name, (cycle, {}))
            lost += number in numbers
            numbers.setdefault(number)
        return lost

    def take(
        self, owners: Mapping[Instrument, Owner], backlog: Mapping[Owner, int]
    ) -> list[tuple[SlicedCycle, Message]]:
        """Remove and return what can be sent now. The part of a slice that is one owner's goes whole or waits.

        Args:
            owners: symbol -> owner, as of now; what waits for other owners is forgotten.
            backlog: how many messages are in the queue of each of :meth:`nodes`. What is for a node that is left out
                waits.
        """
        alive = set(owners.values())
        self._urgent_in_a_row = {owner: count for owner, count in self._urgent_in_a_row.items() if owner in alive}
        parts: dict[tuple[str, int], dict[Owner, list[Message]]] = {}

        def part(owner: Owner, cycle: SlicedCycle, number: int) -> list[Message]:
            """The owner's messages of one slice."""
            key = cycle.entry.name, number
            if key not in parts:  # for all owners at once, so that each slice is gone through only once
                held = {symbol: owners[symbol] for symbol in cycle.slices[number] if symbol in owners}
                parts[key] = defaultdict(list)
                for message in fan_out(held, cycle.message_limit):
                    parts[key][message.owner].append(message)
            return parts[key][owner]

        messages = []
        for owner in list(self._waiting):
            if owner not in alive:
                del self._waiting[owner]
                continue
            if owner in backlog:
                messages += self._take_for(owner, part, backlog[owner])
            if not any(numbers for _, numbers in self._waiting[owner].values()):
                del self._waiting[owner]
        return messages

    def _take_for(
        self, owner: Owner, part: Callable[[Owner, SlicedCycle, int], list[Message]], backlog: int
    ) -> list[tuple[SlicedCycle, Message]]:
        # A slice of each kind may wait while another is worked on. More would be too late when their turn comes.
        first = [part(owner, cycle, next(iter(numbers))) for cycle, numbers in self._waiting[owner].values() if numbers]
        room = max([2, *map(len, first)]) + 1 - backlog
        messages: list[tuple[SlicedCycle, Message]] = []
        while (chosen := self._next(owner)) is not None:
            cycle, numbers = chosen
            number = next(iter(numbers))
            found = part(owner, cycle, number)
            if len(found) > room:
                break
            del numbers[number]
            waiting = self._waiting[owner]
            waiting[cycle.entry.name] = waiting.pop(cycle.entry.name)  # the others of its urgency go first next time
            self._urgent_in_a_row[owner] = self._urgent_in_a_row.get(owner, 0) + 1 if cycle.urgent else 0
            messages += ((cycle, message) for message in found)
            room -= len(found)
        return messages

    def _next(self, owner: Owner) -> tuple[SlicedCycle, _Numbers] | None:
        """The cycle whose slice is next: an urgent one, unless the others were passed over often enough."""
        waiting = [found for found in self._waiting[owner].values() if found[1]]
        urgent = self._urgent_in_a_row.get(owner, 0) < URGENT_IN_A_ROW
        return min(waiting, key=lambda found: found[0].urgent != urgent, default=None)

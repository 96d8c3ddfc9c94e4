"""Whose turn it is at each node, when not every symbol can have its report in every cycle. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from beat_schedule.fan_out import Message, fan_out
from beat_schedule.sliced_cycle import SlicedCycle
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

URGENT_IN_A_ROW = 3
"""After so many urgent slices one of the others goes, if it waits: they are thinned out first, but never stop."""

Waiting = dict[int, None]
"""Numbers of slices, the longest waiting first."""


class Turns:
    """The slices that fell due and were not sent yet, for each node the longest waiting first.

    A node that keeps up is sent each slice as it falls due. One that does not gets as many as its queue has room for,
    in turn: all its symbols have reports at the same lower rate, and none waits in the queue until it is too late.

    Example:
        >>> turns = Turns()
        >>> turns.fall_due(fast, 0, owners)
        0
        >>> [(cycle.entry.name, message.symbols) for cycle, message in turns.take(owners, {node: 0})]
        [('fast-cycle', ('ADAUSDT',))]
    """

    def __init__(self) -> None:
        self._waiting: dict[Owner, dict[bool, tuple[SlicedCycle, Waiting]]] = {}
        self._in_a_row: dict[Owner, int] = {}

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._in_a_row.clear()

    def nodes(self) -> list[Owner]:
        """Owners for which something waits."""
        return list(self._waiting)

    def fall_due(self, cycle: SlicedCycle, number: int, owners: Mapping[Instrument, Owner]) -> int:
        """Slice ``number`` is due; returns for how many nodes it still waits from a cycle before, which is lost."""
        lost = 0
        for owner in {owners[symbol] for symbol in cycle.slices[number] if symbol in owners}:
            _, waiting = self._waiting.setdefault(owner, {}).setdefault(cycle.urgent, (cycle, {}))
            lost += number in waiting
            waiting.setdefault(number)
        return lost

    def take(
        self, owners: Mapping[Instrument, Owner], lengths: Mapping[Owner, int]
    ) -> list[tuple[SlicedCycle, Message]]:
        """What is to be sent now; a slice goes whole or waits.

        Parameters:
            owners: symbol -> owner, as of now; what waits for others is forgotten.
            lengths: how many messages are in the queue of each node for which something waits.
        """
        alive = set(owners.values())
        self._in_a_row = {owner: count for owner, count in self._in_a_row.items() if owner in alive}
        parts: dict[tuple[str, int], dict[Owner, list[Message]]] = {}

        def part(owner: Owner, cycle: SlicedCycle, number: int) -> list[Message]:
            """What of a slice is the owner's."""
            key = cycle.entry.name, number
            if key not in parts:  # for all owners at once: a slice is looked through once only, however many there are
                held = {symbol: owners[symbol] for symbol in cycle.slices[number] if symbol in owners}
                parts[key] = defaultdict(list)
                for message in fan_out(held, cycle.most):
                    parts[key][message.owner].append(message)
            return parts[key][owner]

        messages = []
        for owner in list(self._waiting):
            if owner not in alive:
                del self._waiting[owner]
                continue
            messages += self._take(owner, part, lengths.get(owner, 0))
            if not any(waiting for _, waiting in self._waiting[owner].values()):
                del self._waiting[owner]
        return messages

    def _take(
        self, owner: Owner, part: Callable[[Owner, SlicedCycle, int], list[Message]], length: int
    ) -> list[tuple[SlicedCycle, Message]]:
        # A slice of each kind may wait while another is worked on. More would be late when its turn comes.
        waits = [part(owner, cycle, next(iter(numbers))) for cycle, numbers in self._waiting[owner].values() if numbers]
        room = max([2, *map(len, waits)]) + 1 - length
        messages: list[tuple[SlicedCycle, Message]] = []
        while (chosen := self._next(owner)) is not None:
            cycle, waiting = chosen
            number = next(iter(waiting))
            found = part(owner, cycle, number)
            if len(found) > room:
                break
            del waiting[number]
            self._in_a_row[owner] = self._in_a_row.get(owner, 0) + 1 if cycle.urgent else 0
            messages += ((cycle, message) for message in found)
            room -= len(found)
        return messages

    def _next(self, owner: Owner) -> tuple[SlicedCycle, Waiting] | None:
        """Of which cycle a slice is next: an urgent one, unless others have been passed over often enough."""
        kinds = {urgent: found for urgent, found in self._waiting[owner].items() if found[1]}
        if len(kinds) == 2:
            return kinds[self._in_a_row.get(owner, 0) < URGENT_IN_A_ROW]
        return next(iter(kinds.values()), None)

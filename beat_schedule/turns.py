"""Whose turn it is at each node, when not every symbol can have its report in every cycle. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from beat_schedule.fan_out import Message, fan_out
from coordination.owner import Owner


class Turns:
    """The slices of a cycle's symbols that fell due and were not sent yet, for each node the longest waiting first.

    A node that keeps up is sent each slice as it falls due. One that does not gets as many as its queue has room for,
    in turn: all its symbols have reports at the same lower rate, and none waits in the queue until it is too late.

    Parameters:
        slices: the symbols, in parts that fall due one after the other.
        most: messages a node gets of one slice, see :func:`beat_schedule.fan_out.fan_out`.

    Example:
        >>> turns = Turns([("ADAUSDT",), ("BTCUSDT",)], most=1)
        >>> node = Owner("node-001", "x")
        >>> turns.fall_due(0, {"ADAUSDT": node, "BTCUSDT": node}), turns.fall_due(1, {"BTCUSDT": node})
        (0, 0)
        >>> [message.symbols for message in turns.take({"ADAUSDT": node, "BTCUSDT": node}, {node: 1})]
        [('ADAUSDT',)]
    """

    def __init__(self, slices: Iterable[tuple[str, ...]], most: int) -> None:
        self.slices = list(slices)
        self._most = most
        self._waiting: dict[Owner, dict[int, None]] = {}

    def fall_due(self, number: int, owners: Mapping[str, Owner]) -> int:
        """Slice ``number`` is due; returns for how many nodes it still waits from a cycle before, which is lost."""
        lost = 0
        for owner in {owners[symbol] for symbol in self.slices[number] if symbol in owners}:
            waiting = self._waiting.setdefault(owner, {})
            lost += number in waiting
            waiting.setdefault(number)
        return lost

    def nodes(self) -> list[Owner]:
        """Owners for which something waits."""
        return list(self._waiting)

    def take(self, owners: Mapping[str, Owner], room: Mapping[Owner, int]) -> list[Message]:
        """What is to be sent now.

        Parameters:
            owners: symbol -> owner, as of now; owners that are in it no more are forgotten.
            room: how many messages a node's queue has room for; a slice goes whole or waits.
        """
        messages = []
        alive = set(owners.values())
        for owner in list(self._waiting):
            waiting, left = self._waiting[owner], room.get(owner, 0) if owner in alive else 0
            while waiting:
                number = next(iter(waiting))
                part = self._messages(number, owner, owners)
                if len(part) > left:
                    break
                del waiting[number]
                messages += part
                left -= len(part)
            if not waiting or owner not in alive:
                del self._waiting[owner]
        return messages

    def _messages(self, number: int, owner: Owner, owners: Mapping[str, Owner]) -> list[Message]:
        return fan_out({one: owner for one in self.slices[number] if owners.get(one) == owner}, self._most)

"""From an assignment to task messages. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

SYMBOLS_A_MESSAGE = 128
"""Symbols that share a message where each cannot have its own: then Celery's cost of a message is next to nothing."""


class Message(NamedTuple):
    """One task message: symbols that one owner is to report on."""

    owner: Owner
    symbols: tuple[Instrument, ...]


def fan_out(owners: Mapping[Instrument, Owner], most: int) -> list[Message]:
    """One message a symbol for an owner of up to ``most``; beyond that, as few messages as hold
    :data:`SYMBOLS_A_MESSAGE` each.

    They are of even size, and never more than ``most``.

    Example:
        >>> a = Owner("node-001", "x")
        >>> [m.symbols for m in fan_out({"ADAUSDT": a, "BNBUSDT": a}, most=2)]
        [('ADAUSDT',), ('BNBUSDT',)]
        >>> [m.symbols for m in fan_out({"ADAUSDT": a, "BNBUSDT": a}, most=1)]
        [('ADAUSDT', 'BNBUSDT')]
    """
    held: dict[Owner, list[Instrument]] = defaultdict(list)
    for symbol in sorted(owners):
        held[owners[symbol]].append(symbol)
    messages = []
    for owner in sorted(held):
        symbols = held[owner]
        count = len(symbols) if len(symbols) <= most else min(most, -(-len(symbols) // SYMBOLS_A_MESSAGE))
        small, larger = divmod(len(symbols), count)
        start = 0
        for i in range(count):
            end = start + small + (i < larger)
            messages.append(Message(owner, tuple(symbols[start:end])))
            start = end
    return messages


def slices(symbols: Sequence[Instrument], most: int) -> list[tuple[Instrument, ...]]:
    """``symbols`` in at most ``most`` slices of even size, to be dispatched one after the other.

    Example:
        >>> slices(["ADAUSDT", "BNBUSDT", "BTCUSDT"], most=2)
        [('ADAUSDT', 'BTCUSDT'), ('BNBUSDT',)]
    """
    count = min(most, len(symbols))
    return [tuple(symbols[i::count]) for i in range(count)]

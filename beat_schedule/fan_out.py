"""From an assignment to task messages. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from coordination.owner import Owner


class Message(NamedTuple):
    """One task message: symbols that one owner is to report on."""

    owner: Owner
    symbols: tuple[str, ...]


def fan_out(owners: Mapping[str, Owner], most: int) -> list[Message]:
    """One message a symbol, up to ``most`` messages an owner; beyond that, several symbols share one, evenly.

    Example:
        >>> a = Owner("node-001", "x")
        >>> [m.symbols for m in fan_out({"ADAUSDT": a, "BNBUSDT": a, "BTCUSDT": a}, most=2)]
        [('ADAUSDT', 'BNBUSDT'), ('BTCUSDT',)]
    """
    held: dict[Owner, list[str]] = defaultdict(list)
    for symbol in sorted(owners):
        held[owners[symbol]].append(symbol)
    messages = []
    for owner in sorted(held):
        symbols, count = held[owner], min(most, len(held[owner]))
        small, larger = divmod(len(symbols), count)
        start = 0
        for i in range(count):
            end = start + small + (i < larger)
            messages.append(Message(owner, tuple(symbols[start:end])))
            start = end
    return messages


def slices(symbols: Sequence[str], most: int) -> list[tuple[str, ...]]:
    """``symbols`` in at most ``most`` slices of even size, to be dispatched one after the other.

    Example:
        >>> slices(["ADAUSDT", "BNBUSDT", "BTCUSDT"], most=2)
        [('ADAUSDT', 'BTCUSDT'), ('BNBUSDT',)]
    """
    count = min(most, len(symbols))
    return [tuple(symbols[i::count]) for i in range(count)]

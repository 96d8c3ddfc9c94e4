"""What became of the writes of owners that were frozen, and woke when others had their symbols. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from tools.chaos.history import Injected, Record, Refused, Take, Write

WAKES = {"node-freeze": "node-wake", "frozen-writer": "node-wake", "twin-takes-over": "twin-wake"}
"""Freezing a node -> its going on, by kind of fault."""


@dataclass
class Frozen:
    """One freeze.

    Attributes:
        woke: whether it was seen to go on.
        lost: symbols that it had and others took, with the token that they took it under, until it has a newer one:
            by taking it again, or because Redis forgot that they had it.
        overtaken: whether there was ever one.
        accepted: its writes of lost symbols that Redis accepted: 0, or the fence is broken.
        refused: its writes of lost symbols that changed nothing.
    """

    owner: str
    node: str
    kind: str
    woke: bool = False
    lost: dict[str, int] = field(default_factory=dict)
    overtaken: bool = False
    accepted: int = 0
    refused: int = 0


def frozen_writers(history: Iterable[Record]) -> list[Frozen]:
    """Every freeze in a history, in order."""
    freezes: list[Frozen] = []
    holders: dict[str, str] = {}
    told = [record for record in history if isinstance(record, Injected | Take | Write | Refused)]
    for record in sorted(told, key=attrgetter("time")):
        match record:
            case Injected(kind=kind, owner_gone=owner) if kind in WAKES and owner:
                freezes.append(Frozen(owner, record.victim, kind))
            case Injected():
                for freeze in freezes:
                    if freeze.node == record.victim and WAKES[freeze.kind] == record.kind:
                        freeze.woke = True
            case Take():
                before = holders.get(record.symbol)
                holders[record.symbol] = record.owner
                for freeze in freezes:
                    if freeze.owner == record.owner:
                        freeze.lost.pop(record.symbol, None)
                    elif freeze.owner == before:
                        freeze.lost[record.symbol] = record.token
                        freeze.overtaken = True
            case Write() | Refused():
                holders.setdefault(record.symbol, record.owner)
                # Of several freezes of one owner the last one counts.
                freeze_of = next((f for f in reversed(freezes) if f.owner == record.owner), None)
                if freeze_of is None or record.symbol not in freeze_of.lost:
                    continue
                if isinstance(record, Write) and record.token > freeze_of.lost[record.symbol]:
                    del freeze_of.lost[record.symbol]
                    continue
                freeze_of.accepted += isinstance(record, Write)
                freeze_of.refused += isinstance(record, Refused)
    return freezes


def sentence(history: Iterable[Record]) -> str:
    """The proof in a line, or "" where nothing was frozen."""
    woke = [freeze for freeze in frozen_writers(history) if freeze.woke and freeze.overtaken]
    if not woke:
        return ""
    return (
        f"{len(woke)} frozen writers woke after others had taken their symbols: "
        f"{sum(freeze.refused for freeze in woke)} writes of theirs were refused, "
        f"{sum(freeze.accepted for freeze in woke)} accepted."
    )

"""What happened to the writes of owners that were frozen and resumed after others had taken their symbols. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from tools.chaos.history import Acquisition, Injected, Record, Refused, Write

WAKES = {"node-freeze": "node-wake", "frozen-writer": "node-wake", "twin-takes-over": "twin-wake"}
"""Kind of fault that freezes a node -> kind of fault that its resuming is."""


@dataclass
class Frozen:
    """One freeze of a node.

    Attributes:
        owner: the frozen owner, ``node/incarnation``.
        node: its node id.
        kind: of the fault.
        woke: whether it resumed.
        lost: symbol that another owner took from it -> token of that owner. A symbol leaves when the frozen owner has a
            newer token: it acquired the lease again, or Redis lost the other owner's lease.
        overtaken: whether any symbol was taken from it.
        accepted: its writes of lost symbols that Redis accepted. More than 0 means that the fence is broken.
        refused: its writes of lost symbols that Redis refused.
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
    relevant = [record for record in history if isinstance(record, Injected | Acquisition | Write | Refused)]
    for record in sorted(relevant, key=attrgetter("time")):
        match record:
            case Injected(kind=kind, owner_gone=owner) if kind in WAKES and owner:
                freezes.append(Frozen(owner, record.victim, kind))
            case Injected():
                for freeze in freezes:
                    if freeze.node == record.victim and WAKES[freeze.kind] == record.kind:
                        freeze.woke = True
            case Acquisition():
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
                # If an owner was frozen more than once, the last freeze counts.
                freeze_of = next((f for f in reversed(freezes) if f.owner == record.owner), None)
                if freeze_of is None or record.symbol not in freeze_of.lost:
                    continue
                if isinstance(record, Write) and record.token > freeze_of.lost[record.symbol]:
                    del freeze_of.lost[record.symbol]
                    continue
                freeze_of.accepted += isinstance(record, Write)
                freeze_of.refused += isinstance(record, Refused)
    return freezes


def describe_frozen_writers(history: Iterable[Record]) -> str:
    """One sentence, or "" if no frozen owner lost a symbol."""
    woke = [freeze for freeze in frozen_writers(history) if freeze.woke and freeze.overtaken]
    if not woke:
        return ""
    return (
        f"{len(woke)} frozen writers resumed after others had taken their symbols: "
        f"{sum(freeze.refused for freeze in woke)} of their writes were refused, "
        f"{sum(freeze.accepted for freeze in woke)} accepted."
    )

"""Which sources a recorder is to record: rendezvous hashing over the live recorders."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from tickfence.coordination.hrw import scores
from tickfence.instrument import Instrument


def share(names: Sequence[str], recorders: Collection[str], recorder: str) -> frozenset[str]:
    """Return those of the sources that ``recorder`` is to record.

    Each recorder decides for itself. While two of them see different live ones, the lease decides.

    Args:
        names: of all sources.
        recorders: names of the live recorders.
        recorder: one of them.

    Example:
        >>> share(["BTCUSDT", "ETHUSDT"], ["recorder-1"], "recorder-1") == {"BTCUSDT", "ETHUSDT"}
        True
    """
    if not names:
        return frozenset()
    ordered = sorted(recorders)
    winners = scores(cast(Sequence[Instrument], names), ordered).argmax(axis=1)
    return frozenset(name for name, winner in zip(names, winners, strict=True) if ordered[winner] == recorder)

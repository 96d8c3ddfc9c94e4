"""Which nodes are stuck, and which symbols were in work when: what a leader tells the next one, and readers. No I/O."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import NamedTuple, Self

from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

BLAMED_FOR_MS = 1_800_000
"""How long it counts against a symbol that it was in work on a node that got stuck."""

BLAMED_BY = 2
"""A symbol that was in work on this many owners, each when it got stuck, is set aside."""


class Verdicts(NamedTuple):
    """What a leader has found to be stuck.

    Attributes:
        stuck: owner -> since when it gets no symbols, server ms.
        blamed: symbol -> the owners on which it was in work when they got stuck, and when that was, server ms.
    """

    stuck: Mapping[Owner, int] = {}
    blamed: Mapping[Instrument, Mapping[Owner, int]] = {}

    def set_aside(self, now_ms: int, resumed: Mapping[Instrument, int]) -> dict[Instrument, tuple[str, ...]]:
        """The symbols that are given to no node, so that they do not take one after the other.

        Args:
            now_ms: the server's time.
            resumed: symbol -> when an operator wanted it to be reported on, server ms; earlier blame does not count.

        Returns:
            Symbol -> the ids of the nodes that got stuck with it.
        """
        found = {}
        for symbol, owners in self.blamed.items():
            since = resumed.get(symbol, 0)
            counting = [owner for owner, at in owners.items() if _counts(at, now_ms) and at > since]
            if len(counting) >= BLAMED_BY:
                found[symbol] = tuple(sorted({owner.node for owner in counting}))
        return found

    def with_stuck(self, owner: Owner, working: str, now_ms: int) -> Self:
        """With one more owner that is stuck.

        Args:
            owner: the owner.
            working: the symbol that it was working on; "" if none.
            now_ms: the server's time.
        """
        blamed = {symbol: dict(owners) for symbol, owners in self.blamed.items()}
        if working:
            blamed.setdefault(Instrument(working), {})[owner] = now_ms
        return self._replace(stuck={**self.stuck, owner: now_ms}, blamed=blamed)

    def without_stuck(self, *owners: Owner) -> Self:
        """Without these owners: they have answered, or are gone."""
        return self._replace(stuck={owner: since for owner, since in self.stuck.items() if owner not in owners})

    def without_blame_by(self, owner: Owner, set_aside: Collection[Instrument]) -> Self:
        """With nothing that counts against a symbol because of this owner, which has finished it after all.

        Args:
            owner: the owner.
            set_aside: symbols that stay blamed: they have taken two owners, and would take the next.
        """
        kept = {
            symbol: {o: at for o, at in owners.items() if o != owner or symbol in set_aside}
            for symbol, owners in self.blamed.items()
        }
        return self._replace(blamed={symbol: owners for symbol, owners in kept.items() if owners})

    def without_old_blame(self, now_ms: int) -> Self:
        """Without what no longer counts against a symbol."""
        counting = {s: {o: at for o, at in owners.items() if _counts(at, now_ms)} for s, owners in self.blamed.items()}
        return self._replace(blamed={symbol: owners for symbol, owners in counting.items() if owners})

    def to_json(self) -> str:
        """What :func:`parse_verdicts` reads."""
        stuck = {str(owner): since for owner, since in self.stuck.items()}
        blamed = {s: {str(owner): at for owner, at in owners.items()} for s, owners in self.blamed.items()}
        return json.dumps({"stuck": stuck, "blamed": blamed}, separators=(",", ":"))


def parse_verdicts(text: bytes | str) -> Verdicts:
    """The verdicts in a text. One that is not readable holds none: a node that is stuck is soon found to be so again.

    Example:
        >>> parse_verdicts('{"stuck": {"node-001/5f0c": 1700000000000}, "blamed": {}}').stuck
        {Owner(node='node-001', incarnation='5f0c'): 1700000000000}
    """
    try:
        found = json.loads(text)
        stuck = {Owner.parse(owner): int(since) for owner, since in found["stuck"].items()}
        blamed = {
            Instrument(symbol): {Owner.parse(owner): int(at) for owner, at in owners.items()}
            for symbol, owners in found["blamed"].items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return Verdicts()
    return Verdicts(stuck, blamed)


def _counts(at_ms: int, now_ms: int) -> bool:
    # Blame from the future was noted before the server's clock was set back: nobody knows how old it is.
    return 0 <= now_ms - at_ms < BLAMED_FOR_MS

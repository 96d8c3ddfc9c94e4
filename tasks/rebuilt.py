"""A report made again, and why it may differ from the one that a node wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tickfence.analytics.basis import Basis
from tickfence.analytics.level_changes import KEEP_MS as CHANGES_KEEP_MS
from tickfence.analytics.liquidity.volume_profile import WINDOW_MS
from tickfence.analytics.quantities_window import WINDOW
from tickfence.analytics.symbol_state import SymbolState

SEED_MS = 5 * 60_000
"""How long before the first report a replay starts where no carry is recorded: the windows fill meanwhile."""

CARRY_MS = 40_000
"""Least time from a carry to the first report: the level changes that it leaves out are no longer in the window then."""


NO_START = "start not recorded"
NO_BOOK = "book not known"
HORIZON = "other horizon"
QUANTITIES = "quantities missing"
CHANGES = "level changes missing"
TRADES = "trades missing"
SLOW = "slow cycle not recorded"


class Rebuilt(NamedTuple):
    """A report made again.

    Attributes:
        at_ms: its ``updatedAt``.
        report: its bytes; empty where it cannot be made, because the recording does not have the book.
        basis: what it was made from; ``None`` on a grid.
        reason: why it may differ from the live report; empty where it must be the same bytes.
    """

    at_ms: int
    report: bytes
    basis: Basis | None = None
    reason: str = ""

    @property
    def warm(self) -> bool:
        """Whether it was made from all that it should be made from."""
        return not self.reason


@dataclass(slots=True)
class Lacks:
    """What a state lacks of its past that the owner's had, because the recording does not have it.

    Attributes:
        quantities: how many must have been added until the window holds none of before; 0 if none lacks.
        changes_ms: from when on, exchange time, no level change lacks.
        trades: whether trades may lack that are not known to.
        trades_ms: from when on, exchange time, no trade lacks in any case.
    """

    quantities: int = 0
    changes_ms: int = 0
    trades: bool = False
    trades_ms: int = 0

    def diffs(self, state: SymbolState, now_ms: int) -> None:
        """Diffs lack up to now."""
        state.fold()
        self.quantities = state.quantities.added + WINDOW
        self.changes_ms = state.market_ms(now_ms) + CHANGES_KEEP_MS
        self.trades = True  # they prove when there was none

    def reason(self, state: SymbolState, now_ms: int) -> str:
        """What lacks first; empty where nothing does."""
        market_ms = state.market_ms(now_ms)
        if self.trades and state.trades.covers(market_ms - WINDOW_MS):
            self.trades = False
        if self.trades or market_ms < self.trades_ms:
            return TRADES
        if state.quantities.added < self.quantities:
            return QUANTITIES
        return CHANGES if market_ms < self.changes_ms else ""

"""All kinds of faults.

The function of a kind injects the fault, waits until its effects are over, and repairs what it broke. Budgets are those
of the design. A kind without one there may cost a symbol one report: two periods.
"""

from __future__ import annotations

from tools.chaos.faults import (
    clocks,
    duplicate_nodes,
    exchange,
    hangs,
    network,
    operations,
    processes,
    recorders,
    redis_server,
    rolling,
)

KINDS = (
    *processes.KINDS,
    *hangs.KINDS,
    *rolling.KINDS,
    *operations.KINDS,
    *duplicate_nodes.KINDS,
    *clocks.KINDS,
    *network.KINDS,
    *redis_server.KINDS,
    *exchange.KINDS,
    *recorders.KINDS,
)
BY_NAME = {kind.name: kind for kind in KINDS}
CHOSEN = tuple(kind.name for kind in KINDS if kind.can_be_chosen)

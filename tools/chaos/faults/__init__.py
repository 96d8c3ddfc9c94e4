"""The faults, one row each: what is done, and how long symbols may go without a report because of it.

A fault's function does it, waits until its symptoms are over, and undoes it. Budgets are those of the design; where
the design has none, a symbol may miss one report (two periods), or what the note says.
"""

from __future__ import annotations

from tools.chaos.faults import beats, clocks, exchange, failover, ingests, network, nodes, quiet, redis_server, twins

KINDS = (
    *quiet.KINDS,
    *nodes.KINDS,
    *twins.KINDS,
    *clocks.KINDS,
    *beats.KINDS,
    *ingests.KINDS,
    *network.KINDS,
    *redis_server.KINDS,
    *failover.KINDS,
    *exchange.KINDS,
)
BY_NAME = {kind.name: kind for kind in KINDS}
CHOSEN = tuple(kind.name for kind in KINDS if kind.commit is not None and not kind.skip)

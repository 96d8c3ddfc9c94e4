"""What is known of a kind of fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.chaos.scene import Scene
from tools.chaos.topology import Topology

TWO_PERIODS_MS = 500
LEAST_FREEZE_S, MOST_FREEZE_S = 2.0, 10.0


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: as ``--only`` takes it, and as the table shows it.
        budget_ms: the longest a symbol may go without a report from the fault on; None: it is only measured.
        commit: does it. None: it is never chosen, but follows from another (a killed node joins again).
        what: what is done, in a few words.
        skip: why it cannot be had here, or "".
        rarely: chosen in every n-th round only.
        topology: that of the stack it is done to.
        conflicts: whether refusing leases as conflicts is part of it.
    """

    name: str
    budget_ms: float | None
    commit: Callable[[Scene], None] | None
    what: str
    skip: str = ""
    rarely: int = 1
    topology: Topology = Topology.SINGLE
    conflicts: bool = False

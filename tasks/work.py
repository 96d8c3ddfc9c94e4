"""What this node's main thread is doing, as its heartbeats tell."""

from __future__ import annotations

from tickfence.instrument import Instrument

MAX_PROBE_LENGTH = 64


class Work:
    """A node that lives and does not work is found by these numbers; see :class:`tickfence.coordination.membership.NodeRecord`.

    The main thread sets them several times for each symbol, the registration's thread reads them.

    Attributes:
        progress: number of messages taken, and of steps taken for symbols.
        symbol: what a step is being taken for; empty between the steps.
        probe: id of the last probe message taken; empty before the first.
        drained: whether the node takes no messages, because its consumer was cancelled.
    """

    __slots__ = ("drained", "probe", "progress", "symbol")

    def __init__(self) -> None:
        self.progress = 0
        self.symbol = ""
        self.probe = ""
        self.drained = False

    def begin(self, symbol: Instrument) -> None:
        """A step for ``symbol`` begins."""
        self.progress += 1
        self.symbol = symbol

    def status(self) -> dict[str, str | int]:
        """The fields of the node's record in Redis."""
        return {
            "progress": self.progress,
            "working": self.symbol,
            "probe": self.probe,
            "drained": "1" if self.drained else "",
            "shards": "1",  # it knows shards of dispatch
        }

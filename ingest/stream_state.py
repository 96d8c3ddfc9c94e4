"""Ids of each stream: what was queued, and which id the next entry gets."""

from __future__ import annotations

from enum import Enum


class Place(Enum):
    """Where an entry belongs."""

    NEXT = "next"
    COPY = "copy"
    """The stream has it already."""
    RESTART = "restart"
    """The exchange numbers its updates from the start again; this is the first of them."""


class StreamState:
    """The ids of one stream, as far as this process knows.

    Stream ids must rise. So do trade ids and update ids; the exchange's clock may not. Therefore an entry never gets a
    lower time than the one before it. Every process that receives the same sequence makes the same ids of it, so two
    processes still agree.

    Attributes:
        time_ms: first part of the newest id that was queued here or found in Redis.
        sequence: second part of that id.
        acknowledged: an id that Redis is known to have had; ``None`` while it had none.
        received: of trades, the newest id that this process has passed on in order; -1 before the first.
        trimmed_ms: time of the entry with which the stream was last trimmed.
    """

    __slots__ = ("acknowledged", "received", "sequence", "time_ms", "trimmed_ms")

    def __init__(self) -> None:
        self.time_ms = 0
        self.sequence = self.received = -1
        self.acknowledged: tuple[int, int] | None = None
        self.trimmed_ms = 0

    def place(self, time_ms: int, sequence: int) -> Place:
        """Say where an entry belongs, and give it the next id unless it is a copy."""
        if sequence > self.sequence:
            self.time_ms = max(self.time_ms, time_ms)
            self.sequence = sequence
            return Place.NEXT
        if time_ms <= self.time_ms:
            return Place.COPY
        self.time_ms = time_ms
        self.sequence = self.received = sequence
        return Place.RESTART

    def reconcile(self, newest: tuple[int, int] | None) -> bool:
        """Go on above the newest id in Redis (``None``: no stream); return whether Redis lost acknowledged entries."""
        lost = self.acknowledged is not None and (newest is None or newest < self.acknowledged)
        if newest is not None and newest > (self.time_ms, self.sequence):
            self.time_ms, self.sequence = newest
        self.acknowledged = newest
        return lost

    def resume(self, newest: tuple[int, int] | None) -> None:
        """Go on behind the newest id in Redis (``None``: no stream), to which nobody else adds. The time never falls."""
        self.acknowledged = newest
        self.time_ms = max(self.time_ms, newest[0] if newest else 0)
        self.sequence = self.received = newest[1] if newest else -1

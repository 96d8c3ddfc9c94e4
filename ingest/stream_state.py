"""Ids of one stream: what was queued, and which id the next entry gets."""

from __future__ import annotations

from enum import Enum


class Place(Enum):
    """Where an entry belongs."""

    NEXT = "next"
    COPY = "copy"
    ANEW = "anew"


class StreamState:
    """The ids of one stream, as far as this process knows.

    ``time_ms`` and ``sequence`` are the newest that were queued here or seen in Redis.
    ``acknowledged`` is an id that Redis is known to have had, None while it had none.
    ``heard`` is the newest sequence that the exchange told this process, -1 before the first.

    Stream ids must rise, and so do trade ids and update ids; the exchange's clock may not. An
    entry therefore never gets a lower time than the one before it. Every process that sees the
    same sequence makes the same ids of it, so two of them still agree.
    """

    __slots__ = ("acknowledged", "heard", "sequence", "time_ms", "trimmed_ms")

    def __init__(self) -> None:
        self.time_ms = 0
        self.sequence = self.heard = -1
        self.acknowledged: tuple[int, int] | None = None
        self.trimmed_ms = 0

    def place(self, time_ms: int, sequence: int) -> Place:
        """Where an entry belongs: next, a copy of what was there, or the first of an exchange that counts anew."""
        if sequence > self.sequence:
            self.time_ms = max(self.time_ms, time_ms)
            self.sequence = sequence
            return Place.NEXT
        if time_ms <= self.time_ms:
            return Place.COPY
        self.time_ms = time_ms
        self.sequence = self.heard = sequence
        return Place.ANEW

    def unheard(self, sequence: int) -> int | None:
        """The exchange tells ``sequence`` now: the newest it told before, if it left out what is between the two."""
        before = self.heard
        self.heard = max(before, sequence)
        return None if sequence <= before + 1 else before

    def saw(self, top: tuple[int, int] | None) -> bool:
        """Redis has ``top`` as its newest id (None: no stream); True when it lost what it had acknowledged."""
        lost = self.acknowledged is not None and (top is None or top < self.acknowledged)
        if top is not None and top > (self.time_ms, self.sequence):
            self.time_ms, self.sequence = top
        self.acknowledged = top
        return lost

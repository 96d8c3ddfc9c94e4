"""What owners of a symbol left for the next one."""

from __future__ import annotations

from tasks.recorded_market import RecordedMarket
from tickfence.analytics import basis as bases


class Left:
    """Carries and slow sections by their digest: as recorded, or as they were made again here.

    Args:
        market: what is recorded.
    """

    KEEP = 8

    def __init__(self, market: RecordedMarket) -> None:
        self._market = market
        self._made: dict[bytes, bytes] = {}

    def add(self, data: bytes) -> bytes:
        """Keep what was made; return its digest."""
        digest = bases.digest(data)
        self._made[digest] = data
        if len(self._made) > self.KEEP:
            self._made.pop(next(iter(self._made)))
        return digest

    def carry(self, digest: bytes, at_ms: int) -> bytes | None:
        """The carry with this digest that an owner took over at ``at_ms``."""
        return self._made.get(digest) or self._market.carry(digest, at_ms)

    def sections(self, digest: bytes, at_ms: int) -> bytes | None:
        """The slow sections with this digest that an owner took over at ``at_ms``."""
        return self._made.get(digest) or self._market.sections(digest, at_ms)

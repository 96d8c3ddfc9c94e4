"""A partition: one hour of one symbol, as far as a job covers it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from tickfence.instrument import Instrument
from tickfence.recordings.layout import HOUR_MS

_HOUR = "%Y-%m-%dT%H"


class Partition(NamedTuple):
    """One unit of work.

    Attributes:
        symbol: what is reported on.
        from_ms: its first ms, Unix time.
        to_ms: the ms after its last, within the same hour.

    Example:
        >>> [partition] = cut(["BTCUSDT"], 1_796_205_600_000, 1_796_206_000_000)
        >>> partition.name, partition.to_ms - partition.from_ms
        ('BTCUSDT:2026-12-02T10', 400000)
    """

    symbol: Instrument
    from_ms: int
    to_ms: int

    @property
    def hour(self) -> str:
        """Its hour in UTC, like ``2026-11-26T10``."""
        return datetime.fromtimestamp(self.from_ms // HOUR_MS * 3600, UTC).strftime(_HOUR)

    @property
    def name(self) -> str:
        """What the keys and messages of its job call it."""
        return f"{self.symbol}:{self.hour}"


def cut(
    symbols: Iterable[Instrument],
    from_ms: int,
    to_ms: int,
    recorded: Mapping[Instrument, tuple[int, int]] | None = None,
) -> Iterator[Partition]:
    """Yield the partitions of a range of time, hour by hour.

    Args:
        symbols: what is reported on.
        from_ms: the first ms.
        to_ms: the ms after the last.
        recorded: symbol -> first and last ms of which there is recorded data; a symbol without has no partition. By
            default everything is.
    """
    for hour in range(from_ms // HOUR_MS * HOUR_MS, to_ms, HOUR_MS):
        for symbol in symbols:
            begin, end = max(from_ms, hour), min(to_ms, hour + HOUR_MS)
            if recorded is not None:
                if symbol not in recorded:
                    continue
                first, last = recorded[symbol]
                begin, end = max(begin, first), min(end, last + 1)
            if begin < end:
                yield Partition(symbol, begin, end)

"""The lines of the board: the price of many symbols over the last minutes, in few points. Read once for all clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from tickfence.analytics.history_row import unpack
from tickfence.readers.data_plane import Command, Unreadable
from tickfence.readers.reader import Reader

STEP_MS = 30_000
POINTS = 30
_AT_ONCE = 2_000  # commands sent together, so that other requests do not wait long

Line = list[tuple[int, float]]


class Sparks(Struct, frozen=True, rename="camel"):
    """The price of several symbols over the last 15 minutes."""

    now: Annotated[int, Meta(description="When they were read, ms on the Redis server's clock.")]
    step_ms: int
    lines: Annotated[
        dict[str, list[tuple[int, float]]],
        Meta(description="[ms, price], oldest first: the last row of each step that is over. Empty without a history."),
    ]


class Sparklines:
    """Reads each step of each symbol once.

    Args:
        reader: Reads the history.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._reading = asyncio.Lock()
        self._known: dict[str, dict[int, tuple[int, float] | None]] = {}  # by symbol and step; None: no row

    async def get(self, symbols: Sequence[str]) -> Sparks:
        """Return the lines of ``symbols``.

        Raises:
            Unavailable: Redis does not answer, or holds what tickfence did not write.
        """
        async with self._reading:
            now_ms, _ = await self._reader.plane.read([])
            end = now_ms // STEP_MS  # the step that is not over
            steps = range(end - POINTS, end)
            kept = {
                name: {step: at for step, at in line.items() if step in steps} for name, line in self._known.items()
            }
            self._known = {name: line for name, line in kept.items() if any(line.values())}
            missing = [
                (symbol, step) for symbol in symbols for step in steps if step not in self._known.get(symbol, ())
            ]
            for first in range(0, len(missing), _AT_ONCE):
                await self._read(missing[first : first + _AT_ONCE])
            lines = {name: [at for step in steps if (at := self._known[name][step])] for name in symbols}
        return Sparks(now_ms, STEP_MS, lines)

    async def _read(self, missing: Iterable[tuple[str, int]]) -> None:
        wanted = list(missing)
        commands: list[Command] = [
            ("XREVRANGE", self._reader.keys.history(symbol), (step + 1) * STEP_MS - 1, step * STEP_MS, "COUNT", 1)
            for symbol, step in wanted
        ]
        _, replies = await self._reader.plane.read(commands)
        for (symbol, step), entries in zip(wanted, replies, strict=True):
            self._known.setdefault(symbol, {})[step] = self._point(symbol, entries)

    def _point(self, symbol: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> tuple[int, float] | None:
        try:
            for _, fields in entries:
                row = unpack(fields[b"r"])
                price = row.mid_price if row.last_price is None else row.last_price
                return None if price is None else (row.time_ms, price)
        except (KeyError, ValueError) as error:
            key = self._reader.keys.history(symbol)
            raise Unreadable(f"{key} holds what tickfence did not write: {error}") from error
        return None

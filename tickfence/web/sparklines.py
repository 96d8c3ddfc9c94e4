"""The lines of the board: the price of many symbols over the last minutes, in few points. Read once for all clients."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from tickfence.analytics.history_row import time_of, unpack
from tickfence.readers.data_plane import Command
from tickfence.readers.history import CLOCKS_MS
from tickfence.readers.reader import Reader
from tickfence.redis_access.command import checked
from tickfence.redis_access.errors import ResponseError
from tickfence.timeline.events import place

STEP_MS = 30_000
POINTS = 30
_AT_ONCE = 2_000  # commands sent together, so that other requests do not wait long
_ROWS = POINTS * STEP_MS // 1000  # of 15 minutes, at the usual interval

Line = list[tuple[int, float]]
Entries = Sequence[tuple[bytes, dict[bytes, bytes]]]


class Sparks(Struct, frozen=True, rename="camel"):
    """The price of several symbols over the last 15 minutes."""

    now: Annotated[int, Meta(description="When they were read, ms on the Redis server's clock.")]
    step_ms: int
    lines: Annotated[
        dict[str, list[tuple[int, float]]],
        Meta(description="[ms, price], oldest first: the last row of each step that is over. Empty without a history."),
    ]
    unreadable: Annotated[
        dict[str, str], Meta(description="Why a symbol's line lacks points that Redis has, by symbol.")
    ] = {}


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
        """Return the lines of ``symbols``. What cannot be read of one symbol leaves the others alone.

        Raises:
            Unavailable: Redis does not answer.
        """
        now_ms, _ = await self._reader.plane.read([])  # in an outage nobody waits for the others' time-outs
        async with self._reading:
            end = now_ms // STEP_MS  # the step that is not over
            steps = range(end - POINTS, end)
            kept = {
                name: {step: at for step, at in line.items() if step in steps} for name, line in self._known.items()
            }
            self._known = {name: line for name, line in kept.items() if any(line.values())}
            missing = [
                (symbol, step) for symbol in symbols for step in steps if step not in self._known.get(symbol, ())
            ]
            unreadable: dict[str, str] = {}
            for first in range(0, len(missing), _AT_ONCE):
                unreadable |= await self._read(missing[first : first + _AT_ONCE], now_ms)
            lines = {name: self._line(name, steps) for name in symbols}
        return Sparks(now_ms, STEP_MS, lines, unreadable)

    def _line(self, symbol: str, steps: Iterable[int]) -> Line:
        known = self._known.get(symbol, {})
        return [at for step in steps if (at := known.get(step))]

    async def _read(self, missing: Iterable[tuple[str, int]], now_ms: int) -> dict[str, str]:
        """Read steps of symbols; return why those that are not known afterwards cannot be read, by symbol."""
        wanted = list(missing)
        symbols = list(dict.fromkeys(symbol for symbol, _ in wanted))
        of_steps = [self._newest(symbol, (step + 1) * STEP_MS - 1, step * STEP_MS) for symbol, step in wanted]
        _, replies = await self._reader.plane.read([*of_steps, *map(self._newest, symbols)], own_errors=True)
        turned_back = [
            symbol
            for symbol, reply in zip(symbols, replies[len(wanted) :], strict=True)
            if not isinstance(reply, Exception) and reply and place(reply[0][0])[0] > now_ms + CLOCKS_MS
        ]
        _, long = await self._reader.plane.read(
            [self._newest(symbol, count=_ROWS) for symbol in turned_back], own_errors=True
        )
        rows = dict(zip(turned_back, long, strict=True))
        unreadable = {}
        for (symbol, step), reply in zip(wanted, replies, strict=False):
            try:
                newest = _of_step(checked(rows[symbol]), step) if symbol in rows else checked(reply)
                self._known.setdefault(symbol, {})[step] = _point(newest)
            except (KeyError, ValueError, ResponseError) as error:
                key = self._reader.keys.history(symbol)
                unreadable[symbol] = f"{key} holds what tickfence did not write: {error}"
        return unreadable

    def _newest(self, symbol: str, until: int | str = "+", since: int | str = "-", count: int = 1) -> Command:
        return ("XREVRANGE", self._reader.keys.history(symbol), until, since, "COUNT", count)


def _of_step(newest_first: Entries, step: int) -> Entries:
    """The newest row with a time in a step, where the clock was set back, so that ids are no times: see recent_commands.

    Raises:
        KeyError, ValueError: there is no row where one should be.
    """
    after = math.inf
    for entry in newest_first:
        at = time_of(entry[1][b"r"])
        if at // STEP_MS == step:
            return [entry]
        if at // STEP_MS < step or at > after + CLOCKS_MS:  # from before the clock was set back
            return []
        after = at
    return []


def _point(newest_first: Entries) -> tuple[int, float] | None:
    """The point of the newest row.

    Raises:
        KeyError, ValueError: there is no row where one should be.
    """
    for _, fields in newest_first:
        row = unpack(fields[b"r"])
        price = row.mid_price if row.last_price is None else row.last_price
        return None if price is None else (row.time_ms, price)
    return None

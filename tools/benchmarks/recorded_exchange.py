"""An exchange that makes its messages before it sends them, so that its own work does not slow ingest down.

    python -m tools.benchmarks.recorded_exchange 1000 okx

The second argument is whose dialect it speaks. It is the simulator's server with another feed. It reads commands on standard input and answers on standard output:
``prepare <seconds>`` makes the messages of so much market time and answers with the number of each kind. ``send <speed>``
sends them at that multiple of real time (``inf``: as fast as the client reads) and answers ``sent``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from tools.simulator import symbols
from tools.simulator.hub import Channel, Hub
from tools.simulator.live import SLOTS, LiveFeed
from tools.simulator.market import Activity
from tools.simulator.server import Server, ServerOptions

SLOTS_PER_SECOND = 100
"""As in the simulator: each symbol has one of ten slots for its diff, every 100 ms."""

MAX_UNREAD = 2**20
"""Bytes that a client may be behind."""
_READ_S = 30.0

Slot = list[tuple[str, Channel, bytes]]
"""Each message with its kind and its channel."""


async def obey(prepare: Callable[[float], dict[str, int]], send: Callable[[float], Awaitable[None]]) -> None:
    """Carry out the commands on standard input until it ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, argument = line.decode().split()
        if command == "prepare":
            print(json.dumps(prepare(float(argument))), flush=True)
        elif command == "send":
            await send(float(argument))
            print("sent", flush=True)
        else:
            raise SystemExit(f"error: {line!r}: must be 'prepare <seconds>' or 'send <speed>'")


class RecordedFeed(LiveFeed):
    """A market data source for the simulator's server. It makes messages first and sends them later."""

    def __init__(self, listed: list[symbols.Instrument], seed: int, activity: Activity, hub: Hub) -> None:
        super().__init__(listed, seed, activity, hub, checksums=False)  # as at OKX since June 2026
        self._steps = activity.steps_per_second // SLOTS
        self._slots: list[Slot] = []
        self._time_ms = self._now_ms()

    def prepare(self, seconds: float) -> dict[str, int]:
        """Make the messages of the next ``seconds``; returns how many there are of each kind."""
        self._slots = [self._slot() for _ in range(round(seconds * SLOTS_PER_SECOND))]
        kinds = Counter(kind for slot in self._slots for kind, _, _ in slot)
        return {kind: kinds[kind] for kind in ("diffs", "trades", "tickers")}

    async def send(self, speed: float) -> None:
        """Send the messages at ``speed`` times real time, or as fast as the slowest client reads."""
        started = time.monotonic()
        for number, slot in enumerate(self._slots):
            due = started + number / SLOTS_PER_SECOND / speed
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for _, channel, payload in slot:
                channel.publish(payload)
            self._hub.flush()
            if not await self._hub.let_clients_read(MAX_UNREAD, _READ_S):
                raise SystemExit("error: a client stopped reading")

    async def run(self) -> None:
        """Carry out the commands on standard input until it ends."""
        await obey(self.prepare, self.send)

    def _slot(self) -> Slot:
        cycle, group = divmod(self._slots_done, SLOTS)
        self._slots_done += 1
        self._time_ms += 1000 // SLOTS_PER_SECOND
        slot: Slot = []
        for one in self._groups[group]:
            for _ in range(self._steps):
                for trade in one.market.step():
                    slot.append(("trades", one.trades, one.trade_message(self._time_ms, trade)))
            if (diff := one.book_message(self._time_ms)) is not None:
                slot.append(("diffs", one.diffs, diff))
            if cycle % SLOTS == 0:
                slot.append(("tickers", one.ticker, one.ticker_message(self._time_ms)))
        return slot


async def serve(listed: list[symbols.Instrument]) -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    hub = Hub()
    server = Server(RecordedFeed(listed, 1, Activity(), hub), hub, ServerOptions(port=0, weight_per_minute=10**9))
    print(await server.start(), flush=True)
    await server.serve(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(serve(symbols.parse(sys.argv[1], sys.argv[2])))

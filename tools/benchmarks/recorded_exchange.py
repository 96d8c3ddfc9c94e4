"""An exchange that makes its messages before it sends them, so that its own work does not slow ingest down.

    python -m tools.benchmarks.recorded_exchange --symbols 1000 --seed 1

It is the simulator's server with another feed. It reads commands on standard input and answers on standard output:
``prepare <seconds>`` makes the messages of so much market time and answers with the number of each kind. ``send <speed>``
sends them at that multiple of real time (``inf``: as fast as the client reads) and answers ``sent``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

from tools.simulator import symbols
from tools.simulator.hub import Channel, Hub
from tools.simulator.market import Activity, Market
from tools.simulator.protocol import Encoder
from tools.simulator.server import Server, ServerOptions

SLOTS_PER_SECOND = 100
"""As in the simulator: each symbol has one of ten slots for its diff, every 100 ms."""

_GROUPS = 10
_MAX_UNREAD = 2**20
_CHECK_S = 0.0005
_MAX_CHECKS = 60_000

Slot = list[tuple[Channel, bytes]]


class RecordedFeed:
    """A market data source for the simulator's server. It makes messages first and sends them later."""

    def __init__(self, listed: list[symbols.Instrument], seed: int, activity: Activity, hub: Hub) -> None:
        self._hub = hub
        self._markets = [(Market(one, seed, activity), Encoder(one), one.symbol.lower()) for one in listed]
        self._by_symbol = {market.instrument.symbol: (market, encode) for market, encode, _ in self._markets}
        self.symbols: Collection[str] = self._by_symbol.keys()
        self._slots: list[Slot] = []
        self._done = 0
        self._time_ms = time.time_ns() // 1_000_000

    def prepare(self, seconds: float) -> dict[str, int]:
        """Make the messages of the next ``seconds``; returns how many there are of each kind."""
        self._slots = [self._slot() for _ in range(round(seconds * SLOTS_PER_SECOND))]
        kinds = Counter(channel.name.split("@")[1] for slot in self._slots for channel, _ in slot)
        return {"diffs": kinds["depth"], "trades": kinds["trade"], "tickers": kinds["ticker"]}

    async def send(self, speed: float) -> None:
        """Send the messages at ``speed`` times real time, or as fast as the slowest client reads."""
        started = time.monotonic()
        for number, slot in enumerate(self._slots):
            due = started + number / SLOTS_PER_SECOND / speed
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for channel, payload in slot:
                channel.publish(payload)
            self._hub.flush()
            await self._let_clients_read()

    async def run(self) -> None:
        """Carry out the commands on standard input until it ends."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command, argument = line.decode().split()
            if command == "prepare":
                print(json.dumps(self.prepare(float(argument))), flush=True)
            elif command == "send":
                await self.send(float(argument))
                print("sent", flush=True)
            else:
                raise SystemExit(f"error: {line!r}: must be 'prepare <seconds>' or 'send <speed>'")

    async def _let_clients_read(self) -> None:
        for _ in range(_MAX_CHECKS):
            if all(one.unread_bytes <= _MAX_UNREAD for one in self._hub.connections):
                return
            await asyncio.sleep(_CHECK_S)
        raise SystemExit("error: a client stopped reading")

    def _slot(self) -> Slot:
        group = self._done % _GROUPS
        cycle = self._done // _GROUPS
        self._done += 1
        self._time_ms += 1000 // SLOTS_PER_SECOND
        slot: Slot = []
        for market, encode, name in self._markets[group::_GROUPS]:
            for _ in range(market.activity.steps_per_second // _GROUPS):
                slot += [
                    (self._hub.channel(f"{name}@trade"), encode.trade(self._time_ms, one)) for one in market.step()
                ]
            if diff := market.take_diff():
                slot.append((self._hub.channel(f"{name}@depth@100ms"), encode.depth_update(self._time_ms, diff)))
            if cycle % _GROUPS == 0:
                slot.append((self._hub.channel(f"{name}@ticker"), encode.ticker(self._time_ms, market)))
        return slot

    async def depth(self, symbol: str, limit: int) -> bytes:
        """The order book snapshot, JSON."""
        market, encode = self._by_symbol[symbol]
        return encode.depth(market, limit)

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:
        """The rules of symbols."""
        return [self._by_symbol[symbol][1].exchange_info() for symbol in symbols]

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:
        """The statistics of the last 24 hours."""
        market, encode = self._by_symbol[symbol]
        return encode.ticker_24hr(self._time_ms, market)

    def pause(self, seconds: float) -> None:
        """Not available."""
        raise NotImplementedError("this exchange has no faults")

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """Not available."""
        raise NotImplementedError("this exchange has no faults")

    def spend_update_id(self, symbol: str) -> None:
        """Not available."""
        raise NotImplementedError("this exchange has no faults")

    def market(self, symbol: str) -> Market:
        """The market of a symbol."""
        return self._by_symbol[symbol][0]

    def state(self) -> dict[str, Any]:
        """For the page of the simulator's state."""
        return {"source": "recorded", "slots": self._done}


async def serve(listed: list[symbols.Instrument], seed: int, activity: Activity) -> None:
    """Listen on a free port, print it, and carry out the commands on standard input."""
    hub = Hub()
    feed = RecordedFeed(listed, seed, activity, hub)
    server = Server(feed, hub, ServerOptions(port=0, weight_per_minute=10**9))
    print(await server.start(), flush=True)
    await server.serve(asyncio.Event())


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", default="1000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--orders-per-second", type=float, default=Activity().orders_per_second)
    given = parser.parse_args()
    activity = Activity(orders_per_second=given.orders_per_second)
    asyncio.run(serve(symbols.parse(given.symbols), given.seed, activity))


if __name__ == "__main__":
    main()

"""As `recorded_exchange`, in Kraken's dialect: each update of a book has its sum.

python -m tools.benchmarks.recorded_kraken 1000
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections import Counter, defaultdict

from tools.benchmarks.recorded_exchange import MAX_UNREAD, SLOTS_PER_SECOND, obey
from tools.simulator import symbols
from tools.simulator.captured import kraken_wire as wire
from tools.simulator.captured.dialect import Book, Levels, Recorded
from tools.simulator.captured.kraken import KrakenDialect
from tools.simulator.captured.replay import Subscriber
from tools.simulator.captured.server import CapturedServer
from tools.simulator.listening import listen
from tools.simulator.live import SLOTS
from tools.simulator.market import Activity, Market
from tools.simulator.protocol import Encoder, frame

Slot = list[tuple[str, bytes]]
"""Messages, each with its stream."""
_WAIT_S = 0.0005


def listed(count: int) -> list[symbols.Instrument]:
    """The instruments of the random market."""
    return symbols.parse(str(count))


def name(instrument: symbols.Instrument) -> str:
    """As Kraken writes a symbol."""
    return f"{instrument.base}/{instrument.quote}"


class Made:
    """One instrument and its messages."""

    def __init__(self, instrument: symbols.Instrument, seed: int, activity: Activity) -> None:
        self.name = name(instrument)
        self.market = Market(instrument, seed, activity, 1)
        self._encode = Encoder(instrument)

    def book(self) -> Book:
        """The whole book."""
        self.market.take_diff()
        book = Book(None)
        bids, asks = self._texts(self.market.bids.levels()), self._texts(self.market.asks.levels())
        book.take(Recorded(time.time(), "", b"", bids, asks, whole=True))
        return book

    def trades(self, at: float) -> Slot:
        """Move the market one step; a message for each trade."""
        encode = self._encode
        fills = [
            wire.Fill(
                encode.price(fill.price),
                encode.quantity(fill.quantity),
                at,
                "sell" if fill.buyer_is_maker else "buy",
                "limit",
                fill.trade_id,
            )
            for fill in self.market.step()
        ]
        return [(f"trade:{self.name}", wire.trades(self.name, [fill])) for fill in fills]

    def update(self, at: float) -> Slot:
        """What has changed in the book."""
        diff = self.market.take_diff()
        if not diff:
            return []
        _, _, bids, asks = diff
        checksum = wire.checksum(self._texts(self.market.bids.levels(10)), self._texts(self.market.asks.levels(10)))
        changed = self._texts(sorted(bids.items(), reverse=True)), self._texts(sorted(asks.items()))
        return [(f"book:{self.name}", wire.book(self.name, "update", *changed, checksum, at))]

    def ticker(self) -> Slot:
        """Statistics since the start."""
        market, price = self.market, self._encode.price
        volume = self._encode.quantity(market.volume)
        values = {"last": market.last_price, "first": market.open, "high": market.high, "low": market.low}
        texts = {key: price(ticks) for key, ticks in values.items()}
        return [(f"ticker:{self.name}", wire.ticker(self.name, **texts, volume=volume))]

    def _texts(self, levels: list[tuple[int, int]]) -> Levels:
        return [(self._encode.price(price), self._encode.quantity(quantity)) for price, quantity in levels]


class Exchange:
    """Makes messages first and sends them later."""

    def __init__(self, instruments: list[symbols.Instrument], activity: Activity) -> None:
        self._made = [Made(one, seed, activity) for seed, one in enumerate(instruments, 1)]
        self._steps = activity.steps_per_second // SLOTS
        decimals = {name(one): (one.tick_decimals, one.step_decimals) for one in instruments}
        self.server = CapturedServer(KrakenDialect([], decimals, decimals), math.inf)
        self.server.replay.books |= {f"book:{made.name}": made.book() for made in self._made}
        self._time = time.time()
        self._done = 0
        self._slots: list[Slot] = []

    def prepare(self, seconds: float) -> dict[str, int]:
        """Make the messages of the next ``seconds``; returns how many there are of each kind."""
        self._slots = [self._slot() for _ in range(round(seconds * SLOTS_PER_SECOND))]
        kinds = Counter(stream.partition(":")[0] for slot in self._slots for stream, _ in slot)
        return {"diffs": kinds["book"], "trades": kinds["trade"], "tickers": kinds["ticker"]}

    async def send(self, speed: float) -> None:
        """Send the messages at ``speed`` times real time, or as fast as the client reads; a slot in one write."""
        carrier = {stream: one for one in self.server.replay.subscribers for stream in one.streams}
        frames = [[(stream, frame(payload)) for stream, payload in slot] for slot in self._slots]
        started = time.monotonic()
        for number, slot in enumerate(frames):
            due = started + number / SLOTS_PER_SECOND / speed
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            of_carrier: defaultdict[Subscriber, list[bytes]] = defaultdict(list)
            for stream, text in slot:
                of_carrier[carrier[stream]].append(text)
            for one, texts in of_carrier.items():
                unread = one.write(b"".join(texts))
                while unread > MAX_UNREAD:
                    await asyncio.sleep(_WAIT_S)
                    unread = one.write(b"")

    def _slot(self) -> Slot:
        cycle, group = divmod(self._done, SLOTS)
        self._done += 1
        self._time += 1 / SLOTS_PER_SECOND
        slot: Slot = []
        for made in self._made[group::SLOTS]:
            for _ in range(self._steps):
                slot += made.trades(self._time)
            slot += made.update(self._time)
            if cycle % SLOTS == 0:
                slot += made.ticker()
        return slot


async def serve(count: int) -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    exchange = Exchange(listed(count), Activity())
    runner, port = await listen(exchange.server.application(), "127.0.0.1", 0)
    print(port, flush=True)
    heartbeats = asyncio.create_task(exchange.server.run())
    await obey(exchange.prepare, exchange.send)
    heartbeats.cancel()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

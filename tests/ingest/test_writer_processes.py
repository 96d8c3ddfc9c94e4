"""Two ingests, as processes, of an exchange whose updates have no numbers: one writes, the other takes over."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from itertools import count, pairwise

import redis

from tests.ingest.toy_exchange import ToyExchange, toy_exchange
from tests.ingest.writing import reader_book, until
from tests.role_process import RoleProcess
from tickfence.keys import Keys
from tickfence.streams.codec import split_id
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

NAME, SYMBOL = "BTC-EUR", "toy:BTC-EUR"
KEYS = Keys()
UPDATE_EVERY_S = 0.02
OUTAGE_S = 1.0
LATE_S = 0.5
"""How much later than that an update may be seen on a machine that does other things too."""


async def trading(exchange: ToyExchange) -> None:
    """Change the book and trade, all the time."""
    for number in count(1):
        await exchange.trade(NAME, number)
        await exchange.update(NAME, {99.0: float(number)}, {})
        await asyncio.sleep(UPDATE_EVERY_S)


class Pair:
    """Two ingests, by name, and what they leave in Redis."""

    def __init__(self, client: redis.Redis, url: str, exchange: ToyExchange, stack: AsyncExitStack) -> None:
        self.client = client
        settings = {"SYMBOLS": SYMBOL, "REDIS_URL": url}
        self.processes = {
            name: stack.enter_context(
                RoleProcess(
                    "tests.ingest.toy_ingest",
                    **settings,
                    NT_NAME=name,
                    NT_VENUE_URLS=f"toy.ws={exchange.ws}/?{name}",
                    NT_METRICS_PORT=ports.pick(None),
                )
            )
            for name in ("one", "two")
        }

    @property
    def writer(self) -> str:
        owner = self.client.hget(KEYS.writer(SYMBOL), "owner") or b""
        return owner.decode().partition("/")[0]

    @property
    def newest(self) -> int:
        """Exchange time of the newest update in the stream, ms; 0 if there is none."""
        entries = self.client.xrevrange(KEYS.book(SYMBOL), count=1)
        return split_id(entries[0][0])[0] if entries else 0

    def send(self, name: str, number: signal.Signals) -> None:
        self.processes[name].process.send_signal(number)

    async def takeover(self, name: str) -> float:
        """Wait until another than ``name`` writes; return for how many seconds of the market nothing was written."""
        last = self.newest
        await until(lambda: self.writer not in ("", name), "another writer")
        until_written = self.newest
        await until(lambda: self.newest > until_written, "its first update")
        times = [split_id(entry_id)[0] for entry_id, _ in self.client.xrange(KEYS.book(SYMBOL), min=last - 100)]
        return max(after - before for before, after in pairwise(times)) / 1000


def test_a_writer_that_is_cut_off_or_stopped_or_killed_costs_at_most_a_second(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    async def test() -> None:
        async with toy_exchange(NAME) as exchange, AsyncExitStack() as stack:
            exchange.numbered = False
            market = asyncio.create_task(trading(exchange))
            pair = Pair(redis_client, redis_server.url(), exchange, stack)
            wanted = {f"trades {NAME}", f"book {NAME}"}
            sockets = exchange.sockets
            await until(lambda: [wanted <= carried for carried in sockets.values()] == [True, True], "two ingests", 30)
            await until(lambda: pair.newest, "one of them to write")

            first = pair.writer
            exchange.cut_off.add(first)
            cut_off_s = await pair.takeover(first)
            second = pair.writer
            exchange.cut_off.clear()
            await until(
                lambda heard=pair.newest: pair.newest > heard + 100, "what the first has not heard to be written"
            )
            pair.send(second, signal.SIGSTOP)
            frozen_s = await pair.takeover(second)
            assert pair.writer == first
            pair.send(second, signal.SIGCONT)
            woken_at = pair.newest
            await until(lambda: pair.newest > woken_at + 700, "some more updates")
            assert pair.writer == first
            pair.send(first, signal.SIGKILL)
            killed_s = await pair.takeover(first)
            assert pair.writer == second
            market.cancel()
            with suppress(asyncio.CancelledError):
                await market
            await until(
                lambda: reader_book(redis_client, SYMBOL).levels() == exchange.best(NAME), "the exchange's book"
            )
            print(f"nothing was written for {cut_off_s:.3f} s, {frozen_s:.3f} s and {killed_s:.3f} s")
            assert max(cut_off_s, frozen_s, killed_s) < OUTAGE_S + LATE_S
            trades = [split_id(entry_id)[1] for entry_id, _ in redis_client.xrange(KEYS.trades(SYMBOL))]
            assert trades == list(range(trades[0], trades[-1] + 1)), "every trade is in the stream, once"

    asyncio.run(test())

"""How long `get_changes` takes: asked over MCP on stdio, as an agent asks it, on a stack that runs.

    python -m tools.benchmarks --only history_readers

Six symbols, and an hour of history before the stack's own: prices that walk, walls and anomalies that come and go. A time is
that of one call, from the client's request to the whole answer. Calls are made one after the other, of all symbols in turn.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from redis.exceptions import WatchError

from tickfence.analytics.history_row import HistoryRow, pack
from tools.benchmarks.stack import Stack
from tools.local.roles import ROOT, without_settings

SYMBOLS, NODES = 6, 2
MINUTES = (10, 60)
SECOND_MS = 1000


@dataclass(frozen=True)
class Measurement:
    """Calls of `get_changes`.

    Attributes:
        minutes: how far back each asked.
        rows: rows of history in the last answer.
        calls: how many.
        median_ms, p95_ms, max_ms: of the time of a call.
    """

    minutes: int
    rows: int
    calls: int
    median_ms: float
    p95_ms: float
    max_ms: float

    def line(self) -> str:
        """The result in one line."""
        return (
            f"get_changes, {self.minutes} minutes ({self.rows} rows): median {self.median_ms:.1f} ms, "
            f"p95 {self.p95_ms:.1f} ms, max {self.max_ms:.1f} ms of {self.calls} calls"
        )


def run(seconds: float = 20.0) -> list[dict[str, Any]]:
    """Ask for some ``seconds`` over each time, and print a line after each; returns the measurements."""
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), SYMBOLS, NODES) as stack:
        if not stack.await_keys(stack.keys.history):
            raise SystemExit("error: history_readers: the nodes write no history")
        for symbol in stack.symbols:
            fill(stack.client, stack.keys.history(symbol), max(MINUTES) * 60)
        measurements = anyio.run(_measure, stack, seconds)
    return [asdict(one) for one in measurements]


def fill(client: Any, key: str, seconds: int) -> None:
    """Put rows of the time before in front of those that a stream has, one a second."""
    while True:
        with client.pipeline() as pipe:
            pipe.watch(key)
            there = pipe.xrange(key)
            first_ms = int(there[0][0].partition(b"-")[0])
            pipe.multi()
            pipe.delete(key)
            for row in _rows(first_ms - seconds * SECOND_MS, seconds):
                pipe.xadd(key, {"r": pack(row)}, id=f"{row.time_ms}-0")
            for identity, fields in there:
                pipe.xadd(key, fields, id=identity)
            try:
                pipe.execute()
            except WatchError:  # a node has appended meanwhile
                continue
            return


async def _measure(stack: Stack, seconds: float) -> list[Measurement]:
    environment = {**without_settings(os.environ), "SYMBOLS": ",".join(stack.symbols), "REDIS_URL": stack.url}
    process = StdioServerParameters(
        command=sys.executable, args=["-m", "tickfence", "mcp"], env=environment, cwd=str(ROOT)
    )
    found = []
    async with Client(stdio_client(process)) as client:
        for minutes in MINUTES:
            await _calls(client, stack.symbols, minutes, 1.0)  # what is imported and connected with the first ones
            found.append(await _calls(client, stack.symbols, minutes, seconds))
            print(found[-1].line())
    return found


async def _calls(client: Client, symbols: Sequence[str], minutes: int, seconds: float) -> Measurement:
    took_ms, rows, ends, number = [], 0, time.monotonic() + seconds, 0
    while time.monotonic() < ends or number < 2 * len(symbols):
        asked = {"symbol": symbols[number % len(symbols)], "minutes": minutes}
        began = time.perf_counter()
        answer = await client.call_tool("get_changes", asked)
        took_ms.append((time.perf_counter() - began) * 1000)
        if answer.is_error or answer.structured_content is None:
            raise SystemExit(f"error: history_readers: {answer.content}")
        rows, number = answer.structured_content["rows"], number + 1
    p95_ms = statistics.quantiles(took_ms, n=20)[-1]
    return Measurement(minutes, rows, number, statistics.median(took_ms), p95_ms, max(took_ms))


def _rows(first_ms: int, count: int) -> Iterator[HistoryRow]:
    chance, price = random.Random(1), 100.0
    for number in range(count):
        price *= 1 + chance.gauss(0, 0.0002)
        noisy = number % 300 < 20
        yield HistoryRow(
            time_ms=first_ms + number * SECOND_MS,
            token=1 + number // 900,
            mid_price=round(price, 3),
            last_price=round(price, 2),
            spread_bps=1 + chance.random(),
            bid_qty=50 * chance.uniform(0.8, 1.2),
            ask_qty=50 * chance.uniform(0.8, 1.2),
            orders_per_sec=5 * chance.random(),
            net_flow=chance.gauss(0, 5),
            health=90.0,
            walls=2 + (number // 40) % 2,
            vacuums=0,
            anomalies=1 if noisy else 0,
            severity="low" if noisy else None,
            status="ok",
        )

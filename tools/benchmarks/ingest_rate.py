"""How fast ingest is from the exchange's socket to Redis, compared with plain pipelined XADD of the same entries.

    python -m tools.benchmarks --only ingest

In turn, in one run: the exchange sends some market time, as fast as it is read, to a real ``python -m ingest`` over real
WebSockets, until every entry is in Redis. Then redis-py appends the entries that ingest wrote (same ids, fields and
trimming) to streams of the same names in another database of the same server. A round in real time before that shows
what ingest costs in daily use.

The result is two ratios of the rate of ingest to that of redis-py; the budget is at least 0.5. *CPU*: entries per CPU
second of the client process, which is what each could do on its own core. *Wall*: entries per second; there the
exchange, ingest and Redis share the cores.

All of that is done in each dialect, and what ingest costs per entry in it is compared with Binance's; the budget is at
most 1.5.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import redis

from ingest.packing import KEEP_BOOK_INTERVALS, KEEP_TRADES_MS, TRIM_EVERY_MS
from tickfence.keys import Keys
from tickfence.settings import Settings
from tickfence.streams.codec import split_id
from tools.benchmarks import recorded_kraken
from tools.benchmarks.machine import process_cpu_seconds
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.roles import ROOT, venue_urls, without_settings
from tools.simulator import symbols

KEYS = Keys()
DIALECTS = ("binance", "okx", "kraken")
"""The first is what the others are compared with."""
SYMBOLS, ROUNDS = 1000, 9
PIPELINE = 500
"""Commands in a pipeline of redis-py. With 100 to 5,000 commands the rate differs by at most 5 %."""
BUDGET = 0.5
DIALECT_BUDGET = 1.5
_READY_S = 60.0
_BARE_DB = 2


Entry = tuple[str, bytes, dict[Any, Any], int | None]
"""Key of the stream, id, fields, and the time in ms before which older entries are trimmed with this one, if any are."""


class Spent(NamedTuple):
    """The cost of one turn.

    Attributes:
        entries: how many.
        wall_s: wall time, s.
        client_s: CPU time of the client process, s.
        redis_s: CPU time of Redis, s.
    """

    entries: int
    wall_s: float
    client_s: float
    redis_s: float


def run(seconds: float = 2.0) -> dict[str, Any]:
    """Measure every dialect, and print the tables.

    Args:
        seconds: of market time in a turn.

    Returns:
        By dialect, its :func:`summary` and its cost in real time; and what an entry costs, compared with Binance's.
    """
    found = {dialect: _dialect(dialect, seconds) for dialect in DIALECTS}
    rates = {dialect: one["ingest_events_per_cpu_s"]["median"] for dialect, one in found.items()}
    cost = {dialect: rates[DIALECTS[0]] / rate for dialect, rate in rates.items()}
    for dialect in DIALECTS[1:]:
        print(f"cost of an entry, {dialect} : {DIALECTS[0]} {cost[dialect]:.2f}   budget {DIALECT_BUDGET}")
    return {**found, "cost": cost, "cost_budget": DIALECT_BUDGET}


def _dialect(dialect: str, seconds: float) -> dict[str, Any]:
    listed = _listed(dialect)
    with (
        EmbeddedRedis() as server,
        _exchange(dialect) as exchange,
        _ingest(server.url(), exchange.port, listed) as ingest,
    ):
        _await_books(server, listed, ingest)
        bare = Bare(server, listed)
        _turn(server, exchange, ingest, seconds, math.inf)  # warms up
        bare.copy()
        paced = _turn(server, exchange, ingest, 2 * seconds, 1.0)
        bare.copy()
        turns = [(_turn(server, exchange, ingest, seconds, math.inf), bare.copy()) for _ in range(ROUNDS)]
    found = {
        "symbols": SYMBOLS,
        "rounds": ROUNDS,
        "events_per_round": turns[0][0].entries,
        "at_market_pace": {
            "events_per_s": paced.entries / paced.wall_s,
            "ingest_core_share": paced.client_s / paced.wall_s,
            "ingest_us_per_event": paced.client_s / paced.entries * 1e6,
        },
        **summary(turns),
    }
    _show(dialect, found)
    return found


def _listed(dialect: str) -> list[str]:
    if dialect == "kraken":
        return [f"kraken:{recorded_kraken.name(one)}" for one in recorded_kraken.listed(SYMBOLS)]
    return [one.symbol for one in symbols.parse(str(SYMBOLS), dialect)]


def summary(turns: Sequence[tuple[Spent, Spent]]) -> dict[str, Any]:
    """Rates and ratios of (ingest, redis-py) turns, each as :func:`spread`."""
    ours, bare = zip(*turns, strict=True)
    return {
        "ingest_events_per_cpu_s": spread([one.entries / one.client_s for one in ours]),
        "bare_events_per_cpu_s": spread([one.entries / one.client_s for one in bare]),
        "cpu_ratio": spread([b.client_s / a.client_s * a.entries / b.entries for a, b in turns]),
        "ingest_events_per_s": spread([one.entries / one.wall_s for one in ours]),
        "bare_events_per_s": spread([one.entries / one.wall_s for one in bare]),
        "wall_ratio": spread([b.wall_s / a.wall_s * a.entries / b.entries for a, b in turns]),
        "redis_us_per_event": {
            "ingest": spread([one.redis_s / one.entries * 1e6 for one in ours]),
            "bare": spread([one.redis_s / one.entries * 1e6 for one in bare]),
        },
        "budget": BUDGET,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """5th percentile, median and 95th percentile of two or more values, with linear interpolation.

    >>> spread([3.0, 1.0, 2.0])
    {'p5': 1.1, 'median': 2.0, 'p95': 2.9}
    """
    twentieths = statistics.quantiles(values, n=20, method="inclusive")
    return {"p5": twentieths[0], "median": twentieths[9], "p95": twentieths[18]}


class Bare:
    """Plain redis-py: appends the entries that ingest has written since the last time to streams of the same names."""

    def __init__(self, server: EmbeddedRedis, listed: Sequence[str]) -> None:
        self._source, self._target = server.client(), server.client(_BARE_DB)
        book_ms = KEEP_BOOK_INTERVALS * Settings.from_environment({"SYMBOLS": listed[0]}).nt_snapshot_interval_ms
        self._keep_ms = dict.fromkeys(map(KEYS.trades, listed), KEEP_TRADES_MS)
        self._keep_ms |= dict.fromkeys(map(KEYS.book, listed), book_ms)
        self._read_to = dict.fromkeys(self._keep_ms, "-")
        self._trimmed_ms = dict.fromkeys(self._keep_ms, 0)

    def copy(self) -> Spent:
        """Append them; returns the cost without that of reading them."""
        entries = self._entries()
        redis_pid = _redis_pid(self._source)
        redis_before, cpu, wall = process_cpu_seconds(redis_pid), time.process_time(), time.perf_counter()
        for start in range(0, len(entries), PIPELINE):
            pipe = self._target.pipeline(transaction=False)
            for key, entry_id, fields, keep_from_ms in entries[start : start + PIPELINE]:
                pipe.xadd(key, fields, id=entry_id, minid=keep_from_ms)
            pipe.execute()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return Spent(len(entries), wall, cpu, process_cpu_seconds(redis_pid) - redis_before)

    def _entries(self) -> list[Entry]:
        pipe = self._source.pipeline(transaction=False)
        for key, start in self._read_to.items():
            pipe.xrange(key, start)
        found = [(key, *one) for key, reply in zip(self._read_to, pipe.execute(), strict=True) for one in reply]
        found.sort(key=lambda one: split_id(one[1])[0])
        entries: list[Entry] = []
        for key, entry_id, fields in found:
            self._read_to[key] = f"({entry_id.decode()}"
            time_ms, keep_from_ms = split_id(entry_id)[0], None
            if time_ms - self._trimmed_ms[key] >= TRIM_EVERY_MS:
                self._trimmed_ms[key] = time_ms
                keep_from_ms = max(time_ms - self._keep_ms[key], 0)
            entries.append((key, entry_id, fields, keep_from_ms))
        return entries


class _Exchange(NamedTuple):
    port: int
    say: IO[str]
    hear: IO[str]

    def ask(self, command: str) -> str:
        print(command, file=self.say, flush=True)
        return self.hear.readline()


@contextmanager
def _exchange(dialect: str) -> Iterator[_Exchange]:
    module = "recorded_kraken" if dialect == "kraken" else "recorded_exchange"
    process = subprocess.Popen(
        [sys.executable, "-m", f"tools.benchmarks.{module}", str(SYMBOLS), dialect],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        yield _Exchange(int(process.stdout.readline()), process.stdin, process.stdout)
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _ingest(url: str, exchange_port: int, listed: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = without_settings(os.environ) | {
        "REDIS_URL": url,
        "SYMBOLS": ",".join(listed),
        "NT_EXCHANGE_WS_URL": f"ws://{ports.LOOPBACK}:{exchange_port}",
        "NT_EXCHANGE_REST_URL": f"http://{ports.LOOPBACK}:{exchange_port}",
        "NT_VENUE_URLS": f"{venue_urls(exchange_port)},kraken.ws=ws://{ports.LOOPBACK}:{exchange_port}",
        "NT_METRICS_PORT": "0",
        "NT_LOG_LEVEL": "WARNING",
        # Enough for a whole turn: otherwise entries are dropped whenever Redis is slower than ingest.
        "NT_INGEST_BUFFER_ENTRIES": "1000000",
    }
    process = subprocess.Popen([sys.executable, "-m", "ingest"], cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _await_books(server: EmbeddedRedis, listed: Sequence[str], ingest: subprocess.Popen[bytes]) -> None:
    keys = [KEYS.snapshot(symbol) for symbol in listed]
    with server.client() as client:
        deadline = time.monotonic() + _READY_S
        while (there := client.exists(*keys)) < len(keys):
            if time.monotonic() > deadline or ingest.poll() is not None:
                raise SystemExit(f"error: ingest wrote {there} of {len(keys)} books in {_READY_S:g} s")
            time.sleep(0.1)


def _turn(
    server: EmbeddedRedis, exchange: _Exchange, ingest: subprocess.Popen[bytes], seconds: float, speed: float
) -> Spent:
    """Let the exchange send ``seconds`` of market time; returns when all of it is in Redis."""
    made = json.loads(exchange.ask(f"prepare {seconds}"))
    entries = made["diffs"] + made["trades"]
    with server.client() as client:
        pid = _redis_pid(client)
        appended = _appended(client)
        redis_before, cpu, wall = process_cpu_seconds(pid), process_cpu_seconds(ingest.pid), time.perf_counter()
        exchange.ask(f"send {speed}")
        deadline = time.monotonic() + _READY_S
        while (done := _appended(client) - appended) < entries:
            if time.monotonic() > deadline:
                raise SystemExit(f"error: {done} of {entries} entries in Redis after {_READY_S:g} s")
            time.sleep(0.005)
        wall = time.perf_counter() - wall
        return Spent(entries, wall, process_cpu_seconds(ingest.pid) - cpu, process_cpu_seconds(pid) - redis_before)


def _appended(client: redis.Redis) -> int:
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_xadd", {"calls": 0})["calls"])


def _redis_pid(client: redis.Redis) -> int:
    return int(client.info("server")["process_id"])


def _show(dialect: str, found: dict[str, Any]) -> None:
    print(
        f"dialect {dialect}: {found['symbols']} symbols, {found['rounds']} rounds of {found['events_per_round']} events"
    )
    pace = found["at_market_pace"]
    print(
        f"in real time, {pace['events_per_s']:.0f} events/s: {pace['ingest_core_share']:.1%} of a core, "
        f"{pace['ingest_us_per_event']:.1f} us an event"
    )
    for name, unit in (("per CPU second of the client", "cpu_s"), ("per second of wall time", "s")):
        print(f"events {name}:")
        for who in ("ingest", "bare"):
            print(f"  {who:8}{_shown(found[f'{who}_events_per_{unit}'], '9.0f')}")
    print(f"ratio, CPU  {_shown(found['cpu_ratio'], '6.2f')}   budget {BUDGET}")
    print(f"ratio, wall {_shown(found['wall_ratio'], '6.2f')}")


def _shown(found: dict[str, float], form: str) -> str:
    return f"{found['median']:{form}}  (5-95 %: {found['p5']:{form}} .. {found['p95']:{form}})"

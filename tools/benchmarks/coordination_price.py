"""What the lease, the fence and history add to a report: the same cycle with and without them, in turn in one run.

    python -m tools.benchmarks.coordination_price

A real Redis, a real node's cycle (read, compute, write) on a warm book, 30 symbols a message as a node of 1,000 symbols gets.
Time goes on by 250 ms from one cycle to the next, so every fourth report of a symbol gets a row of history.

The cost of a report is processor time of node and Redis, which other programs on the machine hardly change, and elapsed time.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import redis

from tasks.cycles import FAST, SLOW, Cycle, run_cycle
from tasks.node import Node
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring.garbage import collect_less
from tickfence.redis_access.scripts import send
from tickfence.settings import Settings
from tickfence.streams.append import (
    DIFF_FIELDS,
    TRADE_FIELDS,
    packed_diff,
    packed_trade,
    put_snapshot,
    xadd_head,
)
from tickfence.streams.codec import Snapshot
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = [Instrument(f"SYM{i:02}USDT") for i in range(30)]
ROUNDS = 400
PERIOD_MS = 250
LEVELS = 500
NODES = {
    "alone": {"NT_ENABLE_MULTI_INSTANCE": "false", "NT_HISTORY_MINUTES": "0"},
    "fenced": {"NT_HISTORY_MINUTES": "0"},
    "history": {},
}
"""Name and namespace of a node -> its settings. Each node has its own keys, so that none waits for another's leases."""

BUDGETS = (("alone", "fenced", 8), ("fenced", "history", 5), ("alone", "history", 13))
"""Without, with, and how many percent the second may cost more."""


class Spent(NamedTuple):
    """What a report took, us."""

    cpu: float
    elapsed: float


def main() -> dict[str, float]:
    """Print time per report without and with each, and the differences."""
    begin_ms = int(time.time() * 1000) - ROUNDS * PERIOD_MS
    with EmbeddedRedis() as server:
        client = server.client()
        nodes = {name: _node(server.url(), name, **chosen) for name, chosen in NODES.items()}
        spent: dict[str, list[Spent]] = {name: [] for name in nodes}
        for name in nodes:
            _write_books(client, Keys(name), begin_ms)
        collect_less()  # as a node does
        for round_ in range(ROUNDS):
            now_ms = begin_ms + round_ * PERIOD_MS
            for name, node in nodes.items():
                _append(client, Keys(name), round_, now_ms)
                if round_ % 40 == 0:
                    _run(client, node, SLOW, now_ms)
            for name in _in_turn(list(nodes), round_):
                spent[name].append(_run(client, nodes[name], FAST, now_ms))
        if not all(client.exists(Keys(name).report(symbol)) for symbol in SYMBOLS for name in nodes):
            raise SystemExit("error: no reports were written, so nothing was measured")
        rows = statistics.mean(client.xlen(Keys("history").history(symbol)) for symbol in SYMBOLS)
    results = {"rows_a_report": rows / ROUNDS}
    print(f"{rows / ROUNDS:.2f} rows a report")
    for place, kind in enumerate(Spent._fields):
        columns = {name: [spent_[place] for spent_ in all_[ROUNDS // 10 :]] for name, all_ in spent.items()}
        for name, column in columns.items():
            print(f"{f'{kind}: {name}':28} {_shown(column, 'us a report')}")
            results[f"{name}_{kind}_us"] = statistics.median(column)
        for without, with_, budget in BUDGETS:
            pairs = zip(columns[without], columns[with_], strict=True)
            added = [(more / less - 1) * 100 for less, more in pairs]
            print(f"{f'{kind}: {with_} over {without}':28} {_shown(added, '%')}; budget {budget} %")
            results[f"{with_}_over_{without}_{kind}_percent"] = statistics.median(added)
    return results


def _shown(numbers: Sequence[float], unit: str) -> str:
    low, median, high = statistics.quantiles(numbers, n=4)
    return f"median {median:6.1f} {unit}  (quartiles {low:.1f} .. {high:.1f})"


def _in_turn(names: list[str], round_: int) -> list[str]:
    """The names, in each round with another one first."""
    first = round_ % len(names)
    return names[first:] + names[:first]


def _node(url: str, name: str, **chosen: str) -> Node:
    given = {"REDIS_URL": url, "NT_NAMESPACE": name, "SYMBOLS": ",".join(SYMBOLS)}
    return Node(Settings.from_environment(given | chosen), name)


def _run(client: redis.Redis, node: Node, cycle: Cycle, now_ms: int) -> Spent:
    """Run one cycle as of this server time; what each report took."""
    asked = time.monotonic()
    node.clock.observe(asked, asked, now_ms)
    dispatch = Dispatch(str(node.owner if node.fenced else Owner(ALONE, ALONE)), 1, 1, node.clock.now_ms())
    of_server = _cpu_s(client)
    of_node, started = time.thread_time(), time.perf_counter()
    run_cycle(node, cycle, SYMBOLS, dispatch, 10**9)
    elapsed, cpu = time.perf_counter() - started, time.thread_time() - of_node
    cpu += _cpu_s(client) - of_server
    return Spent(cpu * 1e6 / len(SYMBOLS), elapsed * 1e6 / len(SYMBOLS))


def _cpu_s(client: redis.Redis) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def _write_books(client: redis.Redis, keys: Keys, now_ms: int) -> None:
    for symbol in SYMBOLS:
        bids = [(100 - i / 100, 1.0 + i) for i in range(LEVELS)]
        asks = [(100.01 + i / 100, 1.0 + i) for i in range(LEVELS)]
        snapshot = Snapshot(last_update_id=1, stream_id="0-0", bids=bids, asks=asks, time=now_ms)
        send(client, [put_snapshot(keys.snapshot(symbol), snapshot, protect_ms=1)])


def _append(client: redis.Redis, keys: Keys, round_: int, now_ms: int) -> None:
    """What 250 ms bring: two or three diffs of ten levels a symbol, and two trades."""
    commands: list[bytes] = []
    for symbol in SYMBOLS:
        head = xadd_head(keys.book(symbol), DIFF_FIELDS)
        for i in range(3):
            update = 2 + 3 * round_ + i
            bids = [(100 - (update + k) % LEVELS / 100, float(1 + update % 7)) for k in range(5)]
            asks = [(100.01 + (update + k) % LEVELS / 100, float(1 + update % 7)) for k in range(5)]
            commands.append(head + packed_diff(now_ms, update, update, bids, asks, now_ms))
        head = xadd_head(keys.trades(symbol), TRADE_FIELDS)
        for number in (2 * round_, 2 * round_ + 1):
            commands.append(head + packed_trade(now_ms, number, "100.01", "0.5", number % 3 > 0, now_ms))
    connection = client.connection_pool.get_connection()
    connection.send_packed_command([b"".join(commands)])  # type: ignore[no-untyped-call]
    for _ in commands:
        connection.read_response()
    client.connection_pool.release(connection)


if __name__ == "__main__":
    main()

"""What the lease and the fence add to a report: the same cycle with them and without, in turn in one run.

    python -m tools.benchmarks.coordination_price

A real Redis, a real node's cycle (read, compute, write) on a warm book, 30 symbols a message as a node of 1,000 symbols gets.
"""

from __future__ import annotations

import statistics
import time

import redis

from tasks.cycles import FAST, run_cycle
from tasks.node import Node
from tickfence.coordination.dispatch import ALONE, Dispatch
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.settings import Settings
from tickfence.streams.append import DIFF_FIELDS, packed_diff, put_snapshot, xadd_head
from tickfence.streams.codec import Snapshot
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = [Instrument(f"SYM{i:02}USDT") for i in range(30)]
ROUNDS = 400
LEVELS = 500


def main() -> dict[str, float]:
    """Print time per report, without and with coordination, and the difference."""
    with EmbeddedRedis() as server:
        client = server.client()
        _write_books(client)
        nodes = [_node(server.url(), "alone", multi=False), _node(server.url(), "fenced", multi=True)]
        spent: list[list[float]] = [[], []]
        for round_ in range(ROUNDS):
            _append_diffs(client, round_)
            for which, node in enumerate(nodes):
                owner = str(node.owner if node.fenced else Owner(ALONE, ALONE))
                dispatch = Dispatch(owner, 1, 1, node.clock.now_ms())
                started = time.perf_counter()
                run_cycle(node, FAST, SYMBOLS, dispatch, 60_000)
                spent[which].append((time.perf_counter() - started) * 1e6 / len(SYMBOLS))
        if not all(client.exists(Keys().report(symbol)) for symbol in SYMBOLS):
            raise SystemExit("error: no reports were written, so nothing was measured")
    plain, fenced = (sorted(times[ROUNDS // 10 :]) for times in spent)
    for name, times in (("without", plain), ("with lease and fence", fenced)):
        low, high = times[len(times) // 4], times[3 * len(times) // 4]
        print(f"{name:22} median {statistics.median(times):6.1f} us a report  (quartiles {low:.1f} .. {high:.1f})")
    added = statistics.median(fenced) - statistics.median(plain)
    print(f"{'added':22} {added:6.1f} us, {added / statistics.median(plain):.1%}; budget 200 us, 10 %")
    return {"without_us": statistics.median(plain), "with_us": statistics.median(fenced), "added_us": added}


def _node(url: str, name: str, *, multi: bool) -> Node:
    settings = Settings.from_environment(
        {"REDIS_URL": url, "NT_ENABLE_MULTI_INSTANCE": str(multi), "SYMBOLS": ",".join(SYMBOLS)}
    )
    return Node(settings, name)


def _write_books(client: redis.Redis) -> None:
    for symbol in SYMBOLS:
        bids = [(100 - i / 100, 1.0 + i) for i in range(LEVELS)]
        asks = [(100.01 + i / 100, 1.0 + i) for i in range(LEVELS)]
        snapshot = Snapshot(last_update_id=1, stream_id="0-0", bids=bids, asks=asks, time=int(time.time() * 1000))
        client.execute_command(*put_snapshot(Keys().snapshot(symbol), snapshot, protect_ms=1, load=True))  # type: ignore[no-untyped-call]


def _append_diffs(client: redis.Redis, round_: int) -> None:
    """What 250 ms bring: two or three diffs of ten levels a symbol."""
    commands: list[bytes] = []
    now = int(time.time() * 1000)
    for symbol in SYMBOLS:
        head = xadd_head(Keys().book(symbol), DIFF_FIELDS)
        for i in range(3):
            update = 2 + 3 * round_ + i
            bids = [(100 - (update + k) % LEVELS / 100, float(1 + update % 7)) for k in range(5)]
            asks = [(100.01 + (update + k) % LEVELS / 100, float(1 + update % 7)) for k in range(5)]
            commands.append(head + packed_diff(now, update, update, bids, asks, now))
    connection = client.connection_pool.get_connection()
    connection.send_packed_command([b"".join(commands)])  # type: ignore[no-untyped-call]
    for _ in commands:
        connection.read_response()
    client.connection_pool.release(connection)


if __name__ == "__main__":
    main()

"""The peers do the product's work, under their own kind of protection; against a real Redis, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import appending
from tickfence.keys import Keys
from tickfence.redis_access.scripts import send
from tickfence.streams import append
from tickfence.streams.codec import Snapshot
from tools.benchmarks.peers import latencies
from tools.local.embedded_redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parents[3]
SYMBOL = "BTCUSDT"
LOCK = f"lock:{SYMBOL}"


@pytest.fixture
def market(redis_client: redis.Redis) -> redis.Redis:
    """A book of 100 levels, and one diff."""
    seconds, microseconds = redis_client.time()
    now = seconds * 1000 + microseconds // 1000
    bids = [(100 - i / 10, 1.0 + i) for i in range(100)]
    asks = [(100.1 + i / 10, 1.0 + i) for i in range(100)]
    snapshot = Snapshot(last_update_id=1, stream_id="0-0", bids=bids, asks=asks, time=now)
    send(redis_client, [append.put_snapshot(Keys().snapshot(SYMBOL), snapshot, protect_ms=1)])
    appending.add(redis_client, Keys().book(SYMBOL), append.packed_diff(now, 2, 2, [(99.95, 3.0)], [], now))
    return redis_client


def run(server: EmbeddedRedis, script: str, **environment: str) -> str:
    """Run a script in a process as a worker's would be; return what it printed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NT_")}
    given = {"REDIS_URL": server.url(), "CELERY_BROKER_URL": server.url(1), "SYMBOLS": SYMBOL, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**plain, **given, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def report(client: redis.Redis) -> dict[str, Any]:
    found = client.get(f"report:{SYMBOL}")
    assert found is not None
    return json.loads(found)


def test_a_locked_task_writes_the_products_report_and_gives_its_lock_back(
    redis_server: EmbeddedRedis, market: redis.Redis
) -> None:
    run(redis_server, f"from tools.benchmarks.peers.locked_app import report; report({SYMBOL!r})")
    found = report(market)
    assert found["schemaVersion"] == "2.0"
    assert (found["best_bid"]["price"], len(found["depth"]["asks"])) == (100.0, 20)
    assert "anomalies" not in found
    assert market.exists(LOCK) == 0


def test_slow_sections_reach_the_other_processes(redis_server: EmbeddedRedis, market: redis.Redis) -> None:
    tasks = "from tools.benchmarks.peers.locked_app import report, slow"
    run(redis_server, f"{tasks}; slow({SYMBOL!r})")
    run(redis_server, f"{tasks}; report({SYMBOL!r})")
    assert "anomalies" in report(market)


def test_a_warm_process_takes_new_sections_and_entries(redis_server: EmbeddedRedis, market: redis.Redis) -> None:
    run(
        redis_server,
        f"""
import time
from tools.benchmarks.peers import locked_app
from tickfence.streams import append
from tests import appending

locked_app.report({SYMBOL!r})
now = time.time_ns() // 1_000_000
packed = append.packed_diff(now + 1000, 3, 3, [(100.05, 1.0)], [], now)
appending.add(locked_app._client(), "{Keys().book(SYMBOL)}", packed)
sections = locked_app.slow_cycle.run(locked_app._warm[{SYMBOL!r}].state, now)
locked_app._warm[{SYMBOL!r}].state.slow = None
locked_app._client().set("slow:{{report:{SYMBOL}}}", sections)
locked_app.report({SYMBOL!r})
""",
    )
    found = report(market)
    assert found["best_bid"]["price"] == 100.05
    assert "anomalies" in found


def test_a_lock_that_is_held_keeps_others_out(redis_server: EmbeddedRedis, market: redis.Redis) -> None:
    market.set(LOCK, "another", px=60_000)
    tasks = "from tools.benchmarks.peers.locked_app import report, slow"
    run(redis_server, f"{tasks}; report({SYMBOL!r}); slow({SYMBOL!r})")
    assert market.exists(f"report:{SYMBOL}", f"slow:{{report:{SYMBOL}}}") == 0
    assert market.get(LOCK) == b"another"


def test_the_schedule_has_two_entries_a_symbol_that_expire_with_their_period(redis_server: EmbeddedRedis) -> None:
    script = "import json; from tools.benchmarks.peers.locked_app import app; print(json.dumps(app.conf.beat_schedule))"
    schedule = json.loads(run(redis_server, script, SYMBOLS="BTCUSDT,ETHUSDT"))
    assert {(one["task"], *one["args"], one["schedule"], one["options"]["expires"]) for one in schedule.values()} == {
        (f"locked.{task}", symbol, period, period)
        for task, period in (("report", 0.25), ("slow", 2.0))
        for symbol in ("BTCUSDT", "ETHUSDT")
    }


def test_a_latency_is_told_from_when_the_message_expires(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    script = """
from datetime import UTC, datetime, timedelta
from tools.benchmarks.peers import latencies
moment = datetime.now(UTC) + timedelta(seconds=0.15)
latencies.note(moment.isoformat(), 0.25)
latencies.note(moment, 10)
latencies.note(None, 0.25)
"""
    run(redis_server, script, **{latencies.FOLDER: str(tmp_path)})
    first, second = latencies.read(tmp_path)
    assert 100 <= first < 5000
    assert second - first == pytest.approx(9750, abs=1000)
    next(tmp_path.iterdir()).write_text("7.5\n12.0\n9")
    assert list(latencies.read(tmp_path)) == [7.5, 12.0]
    assert [n for bound, n in latencies.bucketed([7.5, 12.0]).items() if bound in (5, 10, 25)] == [0, 1, 2]


NAIVE = f"""
import time
from tools.benchmarks.peers.naive_writer import NaiveWriter
from tickfence.coordination.dispatch import Dispatch
from tickfence.settings import load
from tasks.cycles import FAST, run_cycle
from tasks.node import Node

node = Node(load(), "node-001")
node.writer = NaiveWriter(node.owner, node.settings)
asked = time.monotonic()
seconds, microseconds = node.client.time()
node.clock.observe(asked, time.monotonic(), seconds * 1000 + microseconds / 1000)
for _ in range(2):
    run_cycle(node, FAST, [{SYMBOL!r}], Dispatch(str(node.owner), 1, 1, node.clock.now_ms()), 60_000)
"""


def test_a_naive_node_writes_while_its_token_is_the_newest(redis_server: EmbeddedRedis, market: redis.Redis) -> None:
    seq = run(redis_server, f"{NAIVE}\nprint(node.symbols[{SYMBOL!r}].lease.seq)")
    assert report(market)["writer"]["nodeId"] == "node-001"
    lease = market.hgetall(f"lease:{{report:{SYMBOL}}}")
    assert int(seq) - int(lease[b"seq"]) == 2, "the fence would have counted both writes"
    assert report(market)["writer"]["writerToken"] == int(lease[b"token"])


def test_a_naive_node_refrains_from_writing_once_another_has_the_lease(
    redis_server: EmbeddedRedis, market: redis.Redis
) -> None:
    script = f"""{NAIVE}
lease = node.symbols[{SYMBOL!r}].lease
assert lease.needs_acquire(1), "no write renews it"
[written] = node.writer.write(node.client, [lease.next_write({{"report:{SYMBOL}": b"mine"}})])
assert written.accepted
node.client.hset("lease:{{report:{SYMBOL}}}", "token", lease.token + 1)
[refused] = node.writer.write(node.client, [lease.next_write({{"report:{SYMBOL}": b"late"}})])
assert not refused.accepted
"""
    run(redis_server, script)
    assert market.get(f"report:{SYMBOL}") == b"mine"


def test_the_naive_app_is_the_product_with_that_writer(redis_server: EmbeddedRedis) -> None:
    script = """
from celery.signals import celeryd_init
from tasks.lifecycle import this_node
from tools.benchmarks.peers import naive_app
from types import SimpleNamespace

celeryd_init.send("w", instance=SimpleNamespace(hostname="w"), conf=naive_app.app.conf, options={"queues": "node-001"})
print(type(this_node().writer).__name__)
"""
    assert run(redis_server, script) == "NaiveWriter\n"

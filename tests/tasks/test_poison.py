"""A message that nobody can work on is dropped and counted; the node lives, and goes on with the next one."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.tasks.cycle_runs import KEYS, S
from tests.tasks.market import Market
from tests.tasks.poison import IN_REDIS
from tests.tasks.workers import Workers
from tools.local.ports import pick

NODE = "node-x"
ROUNDS = 3
REMOTE_CONTROL = "/1.celery.pidbox"


def dropped(port: int) -> float:
    """Messages dropped so far, whatever the reason."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        families = list(text_string_to_metric_families(page.read().decode()))
    names = ("nt_messages_dropped_total", "nt_ticks_dropped_total")
    return sum(sample.value for family in families for sample in family.samples if sample.name in names)


def test_each_is_dropped_and_counted_and_said_once_a_minute(workers: Workers) -> None:
    Market(workers.client, S).open()
    port = pick(19_101)
    process = workers.start("-Q", NODE, NT_METRICS_PORT=str(port))
    workers.joined(NODE)
    counted: dict[str, float] = {}
    with workers.server.client(db=1) as broker:
        for name, raw in IN_REDIS.items():
            before = dropped(port)
            for _ in range(ROUNDS):
                broker.lpush(NODE, raw)
            workers.client.delete(KEYS.report(S))
            workers.wait(
                lambda: workers.dispatch(NODE) or workers.report() or process.poll() is not None,
                f"a report after {name}",
            )
            assert process.poll() is None, f"{name}: {workers.said()[-4000:]}"
            counted[name] = dropped(port) - before
        for name, raw in IN_REDIS.items():
            # Celery subscribes again after a control message that raises: until then nobody listens.
            workers.wait(lambda raw=raw: broker.publish(REMOTE_CONTROL, raw) == 1, f"the worker to be told of {name}")
        asker = workers.producer.control
        workers.wait(lambda: asker.broadcast("ping", reply=True, timeout=5, limit=1), "an answer to remote control")
    assert counted == dict.fromkeys(IN_REDIS, ROUNDS)
    assert "starting to consume again" not in workers.said(), "it did not even connect again"
    lines = [line for line in workers.said().splitlines() if line.startswith("{") and '"INFO"' not in line]
    assert len(lines) < len(IN_REDIS), "\n".join(lines)

"""``celery control cancel_consumer`` of a node's own queue drains it, and ``add_consumer`` brings it back."""

from __future__ import annotations

import signal
from collections.abc import Callable

from celery import Celery

from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, S
from tests.tasks.market import Market
from tests.tasks.workers import Workers
from tickfence.coordination.membership import NodeRecord, parse_node
from tools.local.embedded_redis import EmbeddedRedis

NODE = "node-x"


def record(workers: Workers) -> NodeRecord:
    """What the node has registered."""
    found = parse_node(NODE, workers.client.hgetall(KEYS.node(NODE)))
    assert found is not None
    return found


def test_a_drained_node_says_so_and_takes_nothing_until_it_is_told_to(
    workers: Workers, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    Market(workers.client, S).open()
    workers.producer = Celery(broker=broker.url(1))
    # A heartbeat that is not hurried comes too late for every wait below.
    process = workers.start("-Q", NODE, CELERY_BROKER_URL=broker.url(1), NT_HEARTBEAT_INTERVAL_MS="30000",
                            NT_HEARTBEAT_TTL_MS="90000")  # fmt: skip
    workers.joined(NODE)
    control = workers.producer.control

    with broker.client(db=1) as queues:
        progress = record(workers).progress
        assert progress is not None
        workers.dispatch(NODE, late_ms=11_000)
        workers.producer.send_task("tasks.probe", ("probe-1",), queue=NODE, serializer="json")
        wait_until(lambda: record(workers).probe == "probe-1", "the answer to the probe")
        assert record(workers).progress == progress + 2, "a message that is dropped is progress, too"
        assert not record(workers).drained

        control.cancel_consumer(NODE)
        wait_until(lambda: record(workers).drained, "it to say that it is drained")

        broker.stop(save=True)
        workers.wait(lambda: "cannot reach the broker" in workers.said(), "it to notice")
        broker.start()
        workers.wait(lambda: "reached the broker" in workers.said(), "it to come back")
        workers.wait(queues.pubsub_numpat, "it to listen again")
        assert control.broadcast("ping", reply=True, timeout=5, limit=1), (
            "it obeys, and so it has had the time to take what is in its queue"
        )
        workers.dispatch(NODE)
        assert control.broadcast("ping", reply=True, timeout=5, limit=1)
        assert queues.llen(NODE) == 1
        assert record(workers).drained
        assert workers.report() is None

        control.add_consumer(NODE)
        wait_until(lambda: not record(workers).drained, "it to say that it takes messages")
        workers.wait(lambda: workers.dispatch(NODE) or workers.report(), "a report")
        wait_until(lambda: queues.llen(NODE) == 0, "it to take all messages")
        commands = queues.info("commandstats")
        assert "cmdstat_zrem" not in commands, "its messages are not acknowledged, as before"

    control.cancel_consumer(NODE)
    wait_until(lambda: record(workers).drained, "it to say that it is drained again")
    process.send_signal(signal.SIGTERM)
    assert workers.ended(process) == 0
    assert workers.client.hget(KEYS.node(NODE), "left")
    assert workers.client.hget(KEYS.lease(S), "owner") == b""

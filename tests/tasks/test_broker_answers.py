"""Whatever the broker answers, a node lives, hands its symbols over, says so, and is back at once after it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from celery import Celery

from tests.processes import wait_until
from tests.tasks.cycle_runs import KEYS, S
from tests.tasks.market import Market
from tests.tasks.workers import Workers
from tools.local.embedded_redis import EmbeddedRedis

NODE = "node-x"
BACK_WITHIN_S = 2.0


@contextmanager
def not_permitted(broker: redis.Redis) -> Iterator[str]:
    """The access list is edited in two steps."""
    broker.execute_command("ACL SETUSER default -brpop")
    yield "brpop"
    broker.execute_command("ACL SETUSER default +brpop")


@contextmanager
def another_type(broker: redis.Redis) -> Iterator[str]:
    """Something else is kept under the queue's name."""
    broker.delete(NODE)
    broker.set(NODE, "precious")
    yield "wrong kind of value"
    assert broker.get(NODE) == b"precious"
    broker.delete(NODE)


@contextmanager
def no_replicas(broker: redis.Redis) -> Iterator[str]:
    """A replica is away, and writes must reach one."""
    broker.config_set("min-replicas-to-write", 1)
    yield "NOREPLICAS"
    broker.config_set("min-replicas-to-write", 0)


@contextmanager
def a_replica(broker: redis.Redis) -> Iterator[str]:
    """Another server has become the master."""
    broker.replicaof("127.0.0.1", "1")
    yield "read only replica"
    broker.replicaof("NO", "ONE")


def test_a_node_waits_until_the_broker_serves_it_again(
    workers: Workers, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    Market(workers.client, S).open()
    workers.producer = Celery(broker=broker.url(1))
    process = workers.start("-Q", NODE, CELERY_BROKER_URL=broker.url(1), NT_HEARTBEAT_INTERVAL_MS="50")
    workers.joined(NODE)

    def heartbeats() -> list[bytes | float | None]:
        """Of the process, and of a node that gets symbols."""
        return [workers.client.hget(KEYS.node(NODE), "heartbeat"), workers.client.zscore(KEYS.nodes, NODE)]

    def gets_no_symbols() -> bool:
        before = heartbeats()
        wait_until(lambda: heartbeats()[0] != before[0], "a heartbeat")
        return heartbeats()[1] == before[1]

    with broker.client(db=1) as client:
        for fault in (not_permitted, another_type, no_replicas, a_replica):
            with fault(client) as reason:
                workers.wait(lambda reason=reason: reason in workers.said(), f"it to say why: {reason}")
                workers.wait(lambda: gets_no_symbols() and gets_no_symbols(), "its symbols to be others'")
            workers.client.delete(KEYS.report(S))
            began = time.monotonic()
            workers.wait(lambda: workers.dispatch(NODE) or workers.report(), "a report")
            assert time.monotonic() - began < BACK_WITHIN_S, fault.__name__
            workers.wait(lambda: not gets_no_symbols(), "it to get symbols again")
    assert process.poll() is None


def test_a_broker_that_refuses_to_write_now_and_then_while_the_worker_starts(
    workers: Workers, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    Market(workers.client, S).open()
    workers.producer = Celery(broker=broker.url(1))
    process = workers.start("-Q", NODE, CELERY_BROKER_URL=broker.url(1))
    until = time.monotonic() + 10
    with broker.client(db=1) as client:
        for number in itertools.count():  # each step of the start is met by some of them
            client.config_set("min-replicas-to-write", number % 2)
            time.sleep(0.001 * (number % 13))
            if time.monotonic() > until or " ready." in workers.said():
                break
        client.config_set("min-replicas-to-write", 0)
    workers.joined(NODE)
    workers.wait(lambda: workers.dispatch(NODE) or workers.report(), "a report")
    assert process.poll() is None

"""A heartbeat event that is due while the broker is away does not hold up the worker."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from celery import Celery
from kombu.asynchronous.timer import Timer

from tasks.consumer import Consumer
from tasks.heartbeat import Heart
from tests.processes import wait_until
from tools.local.embedded_redis import EmbeddedRedis


@pytest.mark.timeout(30)  # sent again until the broker is there, it would hang
def test_a_heartbeat_without_a_broker_is_given_up_and_sent_with_the_next_connection(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    app = Celery(broker=server.url(1))
    with app.connection_for_write() as connection:
        every_s = 1e-6  # called sooner again, kombu's timer does nothing
        heart = Heart(Timer(), app.events.Dispatcher(connection, hostname="node-001"), every_s)
        heart.start()
        with listening(server) as first:
            heart.tref()
            assert heard(first) == 1
        server.kill()
        heart.tref()
        server.start()
        with listening(server) as second, app.connection_for_write() as again:
            later = app.events.Dispatcher(again, hostname="node-001")
            later.extend_buffer(heart.eventer)
            later.flush()
            assert heard(second) == 1


def test_the_worker_has_this_heartbeat_and_not_celerys() -> None:
    steps = [step for step in Consumer.Blueprint.default_steps if "heart" in step]
    assert steps == ["tasks.heartbeat:HeartStep"]


def listening(server: EmbeddedRedis) -> redis.client.PubSub:
    """Who hears all events, as Flower does."""
    subscriber = redis.client.PubSub(server.client(1).connection_pool)
    subscriber.psubscribe("/1.celeryev/*")
    wait_until(lambda: subscriber.get_message(timeout=1), "the subscription is confirmed")
    return subscriber


def heard(subscriber: redis.client.PubSub) -> int:
    """How many heartbeats came; waits for the first."""
    wait_until(lambda: is_heartbeat(subscriber.get_message()), "a heartbeat")
    count = 1
    while message := subscriber.get_message():
        count += is_heartbeat(message)
    return count


def is_heartbeat(message: dict[str, bytes] | None) -> bool:
    return message is not None and message["channel"].endswith(b"/worker.heartbeat")

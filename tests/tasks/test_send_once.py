"""Heartbeat events and answers to remote control do not hold up the worker while the broker is away."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import redis
from celery import Celery
from celery.worker.heartbeat import Heart
from kombu import Queue
from kombu.asynchronous.timer import Timer

from tasks.celery_app import app
from tests.processes import wait_until
from tools.local.embedded_redis import EmbeddedRedis

OwnRedis = Callable[..., EmbeddedRedis]
LONG_S = 30
EXCHANGE, ASKER = "reply.celery.pidbox", "asker"


def answers(server: EmbeddedRedis) -> Callable[[], None]:
    """Sends an answer as a node of the real app does, to an asker that has its queue at ``server``."""
    node_app = Celery("a node's", control=app.control_cls, set_as_current=False)
    node_app.config_from_object("celeryconfig")
    node_app.conf.update(dict.fromkeys(("broker_url", "broker_read_url", "broker_write_url"), server.url(1)))
    channel = node_app.connection_for_write().default_channel
    mailbox = node_app.control.mailbox
    Queue(ASKER, mailbox.reply_exchange, routing_key=ASKER)(channel).declare()
    node = mailbox.Node("node-001@host", channel=channel)
    return lambda: node.reply({"node-001@host": {"ok": "pong"}}, exchange=EXCHANGE, routing_key=ASKER, ticket="1")


@pytest.mark.parametrize("fault", ["gone", "stands still", "cannot write"])
def test_an_answer_that_the_broker_does_not_take_is_given_up(
    own_redis_server: OwnRedis, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = own_redis_server()
    answer = answers(server)
    with server.client(db=1) as broker:
        answer()
        assert broker.llen(ASKER) == 1
        if fault == "cannot write":
            broker.replicaof("127.0.0.1", 1)
    if fault == "gone":
        server.stop()
    elif fault == "stands still":
        server.pause()
    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    answering.join(LONG_S)
    assert not answering.is_alive()
    assert "an answer to remote control is lost" in caplog.text


def test_a_broker_that_was_restarted_gets_the_next_answer(own_redis_server: OwnRedis) -> None:
    server = own_redis_server()
    answer = answers(server)
    answer()
    server.stop(save=True)
    server.start()
    answer()
    with server.client(db=1) as broker:
        assert broker.llen(ASKER) == 2


@pytest.mark.timeout(30)  # sent again until the broker is there, it would hang
def test_a_heartbeat_without_a_broker_is_given_up_and_sent_with_the_next_connection(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    sender = Celery(broker=server.url(1), events=app.events_cls, set_as_current=False)
    with sender.connection_for_write() as connection:
        every_s = 1e-6  # called sooner again, kombu's timer does nothing
        heart = Heart(Timer(), sender.events.Dispatcher(connection, hostname="node-001"), every_s)
        heart.start()
        with listening(server) as first:
            heart.tref()
            assert heard(first) == 1
        server.kill()
        heart.tref()
        server.start()
        with listening(server) as second, sender.connection_for_write() as again:
            later = sender.events.Dispatcher(again, hostname="node-001")
            later.extend_buffer(heart.eventer)
            later.flush()
            assert heard(second) == 1


def listening(server: EmbeddedRedis) -> redis.client.PubSub:
    """Subscribe to all events, as Flower does."""
    subscriber = redis.client.PubSub(server.client(1).connection_pool)
    subscriber.psubscribe("/1.celeryev/*")
    wait_until(lambda: subscriber.get_message(timeout=1), "the subscription is confirmed")
    return subscriber


def heard(subscriber: redis.client.PubSub) -> int:
    """Number of heartbeats that have come; waits for the first."""
    wait_until(lambda: is_heartbeat(subscriber.get_message()), "a heartbeat")
    count = 1
    while message := subscriber.get_message():
        count += is_heartbeat(message)
    return count


def is_heartbeat(message: dict[str, bytes] | None) -> bool:
    return message is not None and message["channel"].endswith(b"/worker.heartbeat")

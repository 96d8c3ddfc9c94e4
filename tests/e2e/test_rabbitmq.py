"""RabbitMQ for a broker, Redis for the data: real servers, and the whole path with real processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import amqp
import pytest
from celery import Celery
from kombu import Connection, Exchange, Producer

from beat_schedule.queue_lengths import queue_lengths
from tasks.queues import ARGUMENTS, PerishableQueues
from tests.docs.pages import commands
from tests.e2e.observer import metric
from tests.e2e.roles_at import NODES, SYMBOLS, RolesAt
from tests.processes import wait_until
from tests.rabbitmq import RabbitMQ, find_server
from tools.local.embedded_redis import EmbeddedRedis

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(find_server() is None, reason="needs rabbitmq-server (Debian: apt-get install rabbitmq-server)"),
]


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[RabbitMQ]:
    with RabbitMQ() as server:
        yield server


@pytest.fixture
def connection(rabbitmq: RabbitMQ) -> Iterator[Connection]:
    with rabbitmq.connect() as one:
        yield one


def all_written(roles: RolesAt, since_s: float) -> bool:
    """Whether each symbol has a report that was written after ``since_s``, whoever wrote it."""
    found = roles.reports()
    return len(found) == len(SYMBOLS) and all(one["updatedAt"] > since_s * 1000 for one in found.values())


def dropped(roles: RolesAt, node: str) -> float:
    """Messages that the node could not work on."""
    return metric(roles.metrics[node], "nt_messages_dropped_total")


def publish_poison(rabbitmq: RabbitMQ, node: str) -> int:
    """Send what no dispatcher sends; return how many messages that is."""
    task = {"task": "tasks.fast_cycle", "id": "1"}
    json_like = {"content_type": "application/json", "content_encoding": "utf-8"}
    messages = [
        amqp.Message(b""),
        amqp.Message(b"{", **json_like),
        amqp.Message(b"[]", **json_like),
        amqp.Message(b"\xff", **json_like),
        amqp.Message(b"{}", content_type="application/x-python-serialize", content_encoding="binary"),
        amqp.Message(b"[]", **json_like, application_headers=task),
        amqp.Message(b"x", **json_like, application_headers=task),
        amqp.Message(b"[[], {}, null]", **json_like, application_headers={"task": "tasks.fast_cycle"}),
        amqp.Message(b"[[], {}, null]", **json_like, application_headers={"task": ["x"], "id": {"a": 1}}),
        amqp.Message(b"[[], {}, null]", **json_like, application_headers={"task": "no.such", "id": "1"}),
        amqp.Message(b"[[], {}, null]", **json_like, application_headers=task | {"compression": "x"}),
        amqp.Message(b"[[1, 2], {}, null]", **json_like, application_headers=task),
    ]
    with rabbitmq.connect() as connection:
        for message in messages:
            connection.default_channel.basic_publish(message, exchange="", routing_key=node)
    return len(messages)


def test_reports_flow_a_killed_node_is_replaced_and_a_restarted_broker_is_found_again(
    rabbitmq: RabbitMQ, own_redis_server: Callable[..., EmbeddedRedis], tmp_path: Path
) -> None:
    with RolesAt(own_redis_server().url(), rabbitmq.url, tmp_path) as roles:
        roles.wait_for_reports(timeout_s=30)
        took_s = roles.wait_for_moves_from_a_hung_node()
        print(f"{took_s:.2f} s from the hang of a node to six reports of the other node")
        assert took_s < 5

        sent = publish_poison(rabbitmq, NODES[0])
        wait_until(lambda: dropped(roles, NODES[0]) == sent, lambda: f"{sent} dropped: {dropped(roles, NODES[0])}")
        roles.wait_for_reports()

        with Celery(broker=rabbitmq.url) as operator:
            operator.control.cancel_consumer(NODES[0])
            roles.wait_for_reports(NODES[1:])
            operator.control.add_consumer(NODES[0])
            roles.wait_for_reports()

        rabbitmq.kill()
        rabbitmq.start()
        began = time.time()
        wait_until(lambda: all_written(roles, began), "reports after the broker's restart", 20)
        print(f"{time.time() - began:.2f} s from the broker's restart to six reports")
        roles.wait_for_reports()
        assert roles.conflicts() == 0
        assert roles.ended() == []

        roles.kill(NODES[0])
        began = time.time()
        roles.wait_for_reports(NODES[1:])
        print(f"{time.time() - began:.2f} s from the kill to six reports of the other node")
        assert roles.conflicts(NODES[1:]) == 0


def test_asking_for_the_backlog_declares_a_queue_in_the_words_of_its_consumer(connection: Connection) -> None:
    queues = PerishableQueues()
    queues.default_exchange = Exchange("celery")
    asked = [queues["node-a"], queues["node-b"]]
    channel = connection.default_channel
    assert queue_lengths(channel, asked, amqp=True) == [0, 0]

    producer = Producer(channel)
    for _ in range(3):
        producer.publish({}, routing_key="node-b")
    assert wait_until(lambda: queue_lengths(channel, asked, amqp=True) == [0, 3], "three messages in the second one")
    for queue in asked:
        queue(channel).declare()  # refused where a word differs
    assert queue_lengths(channel, asked, amqp=True) == [0, 3]


def test_a_queue_takes_no_more_than_it_may_hold_and_what_has_expired_is_gone(connection: Connection) -> None:
    channel = connection.default_channel
    queue = PerishableQueues().new_missing("node-c")
    assert queue_lengths(channel, [queue], amqp=True) == [0]
    producer, most = Producer(channel), ARGUMENTS["x-max-length"]
    for number in range(most + 5):
        producer.publish({"number": number}, routing_key=queue.name)
    assert wait_until(lambda: queue_lengths(channel, [queue], amqp=True) == [most], "as many as it may hold")
    oldest = queue(channel).get(no_ack=True)
    assert oldest is not None
    assert oldest.payload == {"number": 5}

    channel.queue_purge(queue.name)
    producer.publish({}, routing_key=queue.name, expiration=0.05)
    assert wait_until(lambda: queue_lengths(channel, [queue], amqp=True) == [0], "it to expire")


@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("rabbitmq")])
def test_a_command_of_the_pages_shows_something(rabbitmq: RabbitMQ, command: str) -> None:
    assert rabbitmq.shown_by(command).strip()

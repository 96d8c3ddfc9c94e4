"""The dispatcher's view of the broker: the trouble of one queue stays that queue's. Against a real Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery
from celery.beat import ScheduleEntry
from celery.schedules import schedule

from beat_schedule.broker import UNREADABLE_AFTER_S, Broker
from beat_schedule.slices import Message
from tests.processes import wait_until
from tickfence.coordination.dispatch import Dispatch
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

BTC = Instrument("BTCUSDT")
A, B, C = (Owner(f"node-{letter}", "1") for letter in "abc")


def _one(symbols: list[str], dispatch: Dispatch) -> None:
    """The task that is sent."""


class Sender:
    """A broker, and a task to send by it."""

    def __init__(self, url: str, prefix: str = "") -> None:
        self.app = Celery(broker=url)
        self.app.conf.broker_transport_options = {"global_keyprefix": prefix, "priority_steps": [0]}
        self.app.task(name="one")(_one)
        self.broker = Broker(self.app, Settings.from_environment({"CELERY_BROKER_URL": url}))

    def send(self, *owners: Owner) -> None:
        entry = ScheduleEntry(name="one", task="one", schedule=schedule(1, app=self.app), app=self.app)
        messages = [(entry, Message(owner, (BTC,))) for owner in owners]
        self.broker.send(messages, Dispatch("", 1, 1, sent_ms=1))


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis_server.client(db=9) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture
def make(redis_server: EmbeddedRedis, client: redis.Redis) -> Iterator[Callable[..., Sender]]:  # noqa: ARG001
    made: list[Sender] = []

    def sender(prefix: str = "") -> Sender:
        made.append(Sender(redis_server.url(9), prefix))
        return made[-1]

    yield sender
    for one in made:
        one.broker.close()


@pytest.mark.parametrize("prefix", ["", "staging:"])
def test_a_key_of_another_type_under_one_queues_name_is_that_queues_trouble(
    make: Callable[..., Sender], client: redis.Redis, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    one = make(prefix)
    client.lpush(f"{prefix}node-a", "1", "2")
    client.hset(f"{prefix}node-b", "field", "value")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert one.broker.backlog([A, B, C]) == {A: 2, C: 0}
    [said] = caplog.records
    assert (said.__dict__["key"], said.__dict__["type"]) == (f"{prefix}node-b", "hash"), "once a minute"


def test_a_queue_that_cannot_be_read_for_a_while_makes_its_node_unreachable_until_it_can(
    make: Callable[..., Sender], client: redis.Redis
) -> None:
    one = make()
    client.set("node-b", "x")
    began = time.monotonic()
    assert one.broker.backlog([A, B]) == {A: 0}
    assert one.broker.unreadable == frozenset()
    # Nobody asks for a node without symbols, so its queue is looked at together with those of the others.
    wait_until(lambda: one.broker.backlog([A]) == {A: 0} and one.broker.unreadable == {B}, "node-b to count", 5)
    assert time.monotonic() - began >= UNREADABLE_AFTER_S
    client.delete("node-b")
    assert one.broker.backlog([A]) == {A: 0, B: 0}
    assert one.broker.unreadable == frozenset()


def test_a_node_that_started_again_is_judged_anew(make: Callable[..., Sender], client: redis.Redis) -> None:
    one = make()
    client.set("node-b", "x")
    wait_until(lambda: one.broker.backlog([B]) == {} and one.broker.unreadable == {B}, "node-b to count", 5)
    assert one.broker.backlog([again := Owner("node-b", "2")]) == {}
    assert one.broker.unreadable == frozenset(), again


@pytest.mark.parametrize("declared", [False, True])
def test_a_message_that_its_queue_refuses_does_not_stop_those_of_other_queues(
    make: Callable[..., Sender], client: redis.Redis, caplog: pytest.LogCaptureFixture, *, declared: bool
) -> None:
    one = make()
    if declared:
        one.send(A, B, C)
        client.delete("node-a", "node-b", "node-c")
    client.set("node-b", "x")
    with caplog.at_level(logging.WARNING):
        one.send(A, B, C)
        one.send(A, B, C)
    assert [client.llen(queue) for queue in ("node-a", "node-c")] == [2, 2]
    [said] = caplog.records
    assert "WRONGTYPE" in said.getMessage()
    assert one.broker.ready, "the broker is well"


def test_an_error_of_the_whole_broker_is_a_failure_of_it(make: Callable[..., Sender], client: redis.Redis) -> None:
    one = make()
    assert one.broker.backlog([A]) == {A: 0}
    client.config_set("maxmemory", 1)
    try:
        one.send(A, B)
        assert not one.broker.ready
    finally:
        client.config_set("maxmemory", 0)


def test_it_is_connected_once_a_call_has_succeeded_and_until_one_fails(
    own_redis_server: Callable[..., EmbeddedRedis],
) -> None:
    server = own_redis_server()
    one = Sender(server.url(9))
    assert not one.broker.connected
    assert one.broker.backlog([A]) == {A: 0}
    assert one.broker.connected
    server.kill()
    assert one.broker.backlog([A]) is None
    assert not one.broker.connected


def test_nodes_that_get_no_messages_any_more_are_forgotten(
    make: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make()
    one.send(A, B)
    one.send(C)
    assert one.broker.sent.keys() == {A, B, C}
    monkeypatch.setattr("beat_schedule.broker.SENT_FOR_S", 0.0)
    one.send(C)
    assert one.broker.sent.keys() == {C}


@pytest.mark.parametrize("told", [False, True])
def test_celery_tells_of_sent_tasks_if_it_is_set_to(
    make: Callable[..., Sender], client: redis.Redis, *, told: bool
) -> None:
    one = make()
    one.app.conf.task_send_sent_event = told
    with client.pubsub(ignore_subscribe_messages=True) as events:
        events.psubscribe("*celeryev*")
        events.get_message(timeout=5)  # subscribed
        one.send(A)
        client.publish("the celeryev's end", b"")
        heard = []
        while not (heard and not heard[-1]):  # the last one is empty
            message = events.get_message(timeout=5)
            assert message is not None
            heard.append(message["data"])
    assert (len(heard) > 1) is told

"""Parts of dependencies that we use though they are private or not documented: an upgrade that removes one is named here.

docs/dependencies.md says where each is used, and why.
"""

from __future__ import annotations

import asyncio
import inspect
from importlib import import_module
from typing import Any

import pytest
import redis
import redis.asyncio
from celery import Celery
from kombu import Connection

from tools.local.embedded_redis import EmbeddedRedis

PING = b"*1\r\n$4\r\nPING\r\n"


def part(path: str) -> Any:
    """The part of a dependency at ``module:name.name``. The test fails with its name if it is gone."""
    module, _, names = path.partition(":")
    try:
        found: Any = import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{path} is gone: {error}")
    return found


def accepts(path: str, *args: Any, **kwargs: Any) -> None:
    """The part can be called with these arguments; else the test fails with its name and what it accepts."""
    signature = inspect.signature(part(path))
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        pytest.fail(f"{path}{signature} no longer accepts what we pass: {error}")


def says(path: str, text: str, why: str) -> None:
    """The source of the part has ``text``, on which we rely."""
    assert text in inspect.getsource(part(path)), f"{path} no longer has {text!r}: {why}"


def test_redis_parser_of_an_asyncio_connection(redis_server: EmbeddedRedis) -> None:
    async def ping() -> tuple[bytes, Exception]:
        connection: Any = redis.asyncio.ConnectionPool(port=redis_server.port).make_connection()
        await connection.connect()
        received = asyncio.get_running_loop().create_future()

        class Receiver(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                received.set_result(data)

        transport = connection._writer.transport
        transport.set_protocol(Receiver())
        transport.write(PING)
        pong = await received
        await connection.disconnect(nowait=True)
        return pong, connection._parser.parse_error("READONLY You can't write against a read only replica.")

    pong, error = asyncio.run(ping())
    assert pong == b"+PONG\r\n"
    assert isinstance(error, redis.ReadOnlyError)


def test_redis_connection_of_a_client(redis_server: EmbeddedRedis) -> None:
    with redis.Redis(port=redis_server.port, single_connection_client=True) as client:
        client.ping()
        assert client.connection.can_read(timeout=0) is False
        assert client.connection._sock.fileno() > 0
        connection = client.connection_pool.get_connection()
        connection.send_packed_command([PING])
        assert connection.read_response() in (b"PONG", "PONG")
        client.connection_pool.release(connection)


def test_redis_cluster_slots_read_again() -> None:
    accepts("redis.cluster:NodesManager.initialize", "self")
    says("redis.cluster:RedisCluster.__init__", "self.nodes_manager", "raw_pipeline reads the slots again by it")


def test_celery_consumer_hooks() -> None:
    accepts("celery.worker.consumer:Consumer.create_task_handler", "self")
    accepts("celery.worker.consumer:Consumer.call_soon_ack", "self", "p")
    accepts("celery.worker.consumer:Consumer.ensure_connected", "self", "conn")
    accepts("celery.worker.state:maybe_shutdown")
    assert part("celery.worker.consumer:Consumer.first_connection_attempt") is True
    consumer = "celery.worker.consumer:Consumer"
    accepts(f"{consumer}.on_ready", "self")
    accepts(f"{consumer}.on_connection_error_before_connected", "self", "error")
    accepts(f"{consumer}.on_connection_error_after_connected", "self", "error")
    accepts(f"{consumer}.cancel_task_queue", "self", "queue")
    accepts(f"{consumer}.add_task_queue", "self", "queue", "exchange", "direct", "routing_key")
    accepts(f"{consumer}.on_decode_error", "self", "message", "error")
    accepts(f"{consumer}.on_unknown_message", "self", "body", "message")
    accepts(f"{consumer}.on_unknown_task", "self", "body", "message", "error")
    accepts(f"{consumer}.on_invalid_task", "self", "body", "message", "error")
    says(f"{consumer}.start", "broker_channel_error_retry", "an answer of the broker starts it again")


def test_kombu_messages_that_cannot_be_read() -> None:
    says("celery.app.base:Celery._connection", "self.amqp.Connection(", "it must connect with our class")
    assert part("celery.app.amqp:AMQP.Connection") is Connection
    says("kombu.connection:Connection.create_transport", "self.get_transport_cls()", "it must ask for the class")
    says("kombu.transport.virtual.base:Channel.basic_consume", "self.Message(", "it must make our messages")
    says("kombu.messaging:Consumer._receive_callback", "message.errors", "it must ask for the errors")
    says("kombu.transport.redis:Channel.__init__", "self._brpop_read", "it must read by the method that we replace")
    says("kombu.transport.redis:Channel.__init__", "self._receive", "the same for remote control")


def test_celery_queues_that_are_not_listed() -> None:
    class Queues(part("celery.app.amqp:Queues")):  # type: ignore[misc]
        def new_missing(self, name: str) -> Any:
            return super().new_missing(f"made-{name}")

    assert part("celery.app.amqp:AMQP.queues_cls") is part("celery.app.amqp:Queues")
    app = Celery(broker="memory://")
    app.amqp.queues_cls = Queues
    assert app.amqp.queues["node-001"].name == "made-node-001"
    assert isinstance(app.amqp.queues.consume_from, dict)


def test_kombu_mailbox_publish_reply() -> None:
    path = "kombu.pidbox:Mailbox._publish_reply"
    accepts(path, "self", "reply", "exchange", "key", "ticket", channel=None, serializer=None, retry_policy={})
    says(path, "**opts\n", "it must pass retry_policy on")
    says("kombu.pidbox:Node.reply", "._publish_reply(", "it must answer by the method that we replace")
    assert issubclass(part("celery.app.control:Control.Mailbox"), part("kombu.pidbox:Mailbox"))


def test_kombu_no_ack_consumers() -> None:
    acknowledged = []
    with Connection("memory://") as connection:
        queue = connection.SimpleQueue("private-parts")
        for _ in range(2):
            queue.put({})
        first, second = queue.get(timeout=1), queue.get(timeout=1)
        assert first.channel.no_ack_consumers is None
        first.channel.basic_ack = lambda tag, **_: acknowledged.append(tag)
        first.ack()
        second.channel.no_ack_consumers = ("no_ack",)
        second.delivery_info["consumer_tag"] = "no_ack"
        second.ack()
    assert acknowledged == [first.delivery_tag], "Message.ack passes over the consumers in Channel.no_ack_consumers"


def test_kombu_redis_channel_connection(redis_server: EmbeddedRedis) -> None:
    with Connection(redis_server.url(1)) as connection, connection.default_channel.conn_or_acquire() as client:
        pipe = client.pipeline(transaction=False)
        pipe.llen("private-parts")
        assert pipe.execute() == [0]


def test_amqp_channel_send_method_and_wait() -> None:
    accepts("amqp.channel:Channel.send_method", "self", (50, 10), "BsbbbbbF", (0, "queue"))
    accepts("amqp.channel:Channel.wait", "self", (50, 11), returns_tuple=True)


def test_celery_beat_service_uses_nothing_that_our_tick_leaves_out() -> None:
    used = "".join(inspect.getsource(part(f"celery.beat:Service.{name}")) for name in ("start", "sync"))
    assert "self.scheduler.tick()" in used
    for left_out in ("_heap", "old_schedulers", "producer", "connection"):
        assert left_out not in used, f"celery.beat:Service uses the scheduler's {left_out}"


def test_flower_start() -> None:
    accepts("flower.app:Flower.start", "self")
    accepts("flower.app:Flower.update_workers", "self", workername="celery@node-001")
    says("flower.command:flower.callback", "flower_app.start()", "it must start by the method that we wrap")
    assert isinstance(part("flower.app:Flower.workers"), property)
    says("flower.events:Events.__init__", "self.state = ", "it has the live workers")


def test_xdist_work_by_scope() -> None:
    accepts("xdist.scheduler:LoadScopeScheduling._split_scope", "self", "tests/test_a.py::test_b")
    says("xdist.scheduler:LoadScopeScheduling.schedule", "self._split_scope(", "it makes the units of work")

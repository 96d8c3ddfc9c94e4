"""Remote control, as far as a node must not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from celery import Celery
from kombu import Queue

from tasks.celery_app import app
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

"""The worker's consumer: when messages are acknowledged."""

from __future__ import annotations

import threading

from kombu.asynchronous import Hub

from tasks.consumer import Consumer


def test_a_message_is_acknowledged_at_once_and_from_another_thread_by_the_loop() -> None:
    consumer = Consumer.__new__(Consumer)
    consumer.hub = Hub()
    acknowledged: list[str] = []
    consumer.call_soon_ack(acknowledged.append, "here")
    assert acknowledged == ["here"]

    elsewhere = threading.Thread(target=consumer.call_soon_ack, args=(acknowledged.append, "elsewhere"))
    elsewhere.start()
    elsewhere.join()
    assert acknowledged == ["here"]
    consumer.hub.run_once()
    assert acknowledged == ["here", "elsewhere"]

"""The worker's heartbeat event, by which Flower tells that it is there."""

from __future__ import annotations

from typing import Any

from celery.worker.consumer.heart import Heart as CeleryHeartStep
from celery.worker.heartbeat import Heart as CeleryHeart


class Heart(CeleryHeart):
    """Celery's, but for sending each event once.

    Celery sends it again and again until the broker takes it, from the thread that serves the queues: a heartbeat that
    is due in the very moment when the broker goes away keeps the worker from noticing, and after the broker's return
    from working, for a second or more.
    """

    def _send(self, event: str, retry: bool = False) -> Any:
        del retry
        # What could not be sent is kept by the dispatcher, for the next connection.
        return super()._send(event, retry=False)


class HeartStep(CeleryHeartStep):
    """Starts :class:`Heart` with the consumer."""

    def start(self, c: Any) -> None:
        c.heart = Heart(c.timer, c.event_dispatcher, self.heartbeat_interval)
        c.heart.start()

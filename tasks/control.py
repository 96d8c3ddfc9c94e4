"""Answers to `celery inspect` and to Flower, which a node may lose and must not wait for."""

from __future__ import annotations

import logging
from typing import Any

from celery.app.control import Control as CeleryControl
from celery.app.control import Mailbox as CeleryMailbox
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

_ONCE = {"max_retries": 0}


class Mailbox(CeleryMailbox):
    """Celery's, but for giving up an answer that the broker does not take.

    Celery sends it again and again until the broker does, from the thread that serves the queues. A broker that goes
    away between question and answer would keep the node from noticing, and so from giving up its symbols, though its
    heartbeats go on; and from ending on SIGTERM. Whoever asked has given up after a second.
    """

    def _publish_reply(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._publish_reply(*args, retry_policy=_ONCE, **kwargs)
        except OperationalError as error:
            logger.warning("an answer to remote control is lost: %s", error)


class Control(CeleryControl):
    """``app.control``."""

    Mailbox = Mailbox

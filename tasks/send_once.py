"""Heartbeat events and answers to remote control: sent once, without waiting for the broker.

Celery sends each again and again until the broker takes it, from the thread that serves the queues. A broker that goes
away at that moment would keep the node from noticing, so from giving up its symbols and from ending on SIGTERM; and
after the broker's return it would keep the worker from working for a second or more.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.app.control import Control as CeleryControl
from celery.app.control import Mailbox as CeleryMailbox
from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher as CeleryEventDispatcher
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

_ONCE = {"max_retries": 0}


class EventDispatcher(CeleryEventDispatcher):  # type: ignore[misc]
    """Celery's event dispatcher, by which Flower tells that the worker is there; each event is sent once.

    It keeps what could not be sent for the next connection.
    """

    def send(self, *args: Any, **fields: Any) -> Any:
        """Send an event once, whatever ``retry`` says: Celery's heartbeat asks for retries and has no setting for it."""
        return super().send(*args, **fields | {"retry": False})


class Events(CeleryEvents):  # type: ignore[misc]
    """``app.events`` with this :class:`EventDispatcher`."""

    dispatcher_cls = EventDispatcher


class Mailbox(CeleryMailbox):
    """Celery's mailbox, which answers `celery inspect` and Flower; an answer that the broker does not take is lost.

    The asking command has given up after a second.
    """

    # Private in kombu, which has no setting for these retries.
    def _publish_reply(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._publish_reply(*args, retry_policy=_ONCE, **kwargs)
        except OperationalError as error:
            logger.warning("an answer to remote control is lost: %s", error)


class Control(CeleryControl):
    """``app.control`` with this :class:`Mailbox`."""

    Mailbox = Mailbox

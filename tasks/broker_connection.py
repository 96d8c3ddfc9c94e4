"""A connection to the broker on which a message that cannot be read is that message's trouble alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache, partial
from queue import Empty
from typing import Any
from uuid import uuid4

import kombu
from kombu.message import Message as AnyMessage
from kombu.transport import redis, virtual

from tickfence.monitoring import node_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.redis_access.errors import REDIS_ERRORS

logger = logging.getLogger(__name__)

_limit = LogLimit(60.0)


class Message(virtual.Message):
    """A message that keeps the error if it is none. Kombu's consumer hands such a one to ``on_decode_error``."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        try:
            super().__init__(payload, channel, **options)  # type: ignore[no-untyped-call]
            if not isinstance(self.delivery_info, dict):
                raise TypeError(f"delivery_info is {self.delivery_info!r}")
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            nowhere = {"exchange": "", "routing_key": ""}
            AnyMessage.__init__(
                self, repr(payload), str(uuid4()), channel=channel, delivery_info=nowhere, properties={}, **options
            )
            self.errors.append(sys.exc_info())


class Channel(redis.Channel):
    """Drops what is no message at all. Kombu would let the error end the worker."""

    Message = Message

    def _brpop_read(self, **options: Any) -> bool:
        """Take what the broker has answered."""
        return self._forgive(partial(super()._brpop_read, **options))

    def _receive(self) -> bool:
        """Take what has come over remote control."""
        return self._forgive(super()._receive)

    def _forgive(self, read: Callable[[], Any]) -> bool:
        try:
            return bool(read())
        except Exception as error:
            if isinstance(error, (Empty, MemoryError, *REDIS_ERRORS)):
                raise
            metrics.messages_dropped.labels("unreadable").inc()
            held_back = _limit.allows("unreadable")
            if held_back is not None:
                queues = ", ".join(sorted(self.active_queues)) or "remote control"
                extra = {"held_back": held_back}
                logger.error("dropped what is no message, from a queue among %s: %r", queues, error, extra=extra)
            return True  # Redis has handed it over, so it is gone


@cache
def _forgiving(transport: type) -> type:
    """The transport, with a channel as above if it is Redis's (with Sentinel or without)."""
    if not issubclass(transport, redis.Transport):
        return transport
    channel = type("Channel", (Channel, transport.Channel), {})
    return type(transport.__name__, (transport,), {"Channel": channel})


class Connection(kombu.Connection):
    """What ``app.amqp`` connects with."""

    def get_transport_cls(self) -> type:
        """The class of the transport that the URL names."""
        return _forgiving(super().get_transport_cls())  # type: ignore[no-untyped-call]

"""Writing events to the timeline from a thread, apart from the work that they are about."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tickfence.redis_access.connect import connect, forget_connections
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage

logger = logging.getLogger(__name__)

MAXIMUM_WAITING = 64
"""Further items are dropped."""
GIVE_UP_S = 5.0
"""How long the writer tries to write one item."""

Item = TypeVar("Item")


class EventWriter(Generic[Item]):
    """Writes items one after the other, from its own thread: nobody who has something to tell waits for Redis.

    The thread and its connection begin with the first item. An item that cannot be written is tried again for a while,
    and then dropped.

    Args:
        url: the data plane.
        name: shown by ``CLIENT LIST``.
        write: writes one item with a client. If it raises one of ``errors.REDIS_ERRORS``, it is called again with the
            same item. After any other error the item is dropped.
        on_failure: called for each failed try, and for each item that is dropped because too many wait.

    Example:
        >>> writer = EventWriter(url, "events:node-001", append)
        >>> writer.put(conflict_event("BTCUSDT", "node-001", "node-002"))
        >>> writer.close()
    """

    def __init__(
        self, url: str, name: str, write: Callable[[Any, Item], None], on_failure: Callable[[], object] = lambda: None
    ) -> None:
        self._url, self._name, self._write, self._on_failure = url, name, write, on_failure
        self._items: queue.Queue[Item | None] = queue.Queue(MAXIMUM_WAITING)
        self._outage = Outage("the data plane for events", logger)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def put(self, item: Item) -> None:
        """Leave ``item`` to be written. Never waits, never raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        try:
            self._items.put_nowait(item)
        except queue.Full:
            self._on_failure()

    def close(self, within_s: float = 1.0) -> None:
        """Write what waits, for ``within_s`` at most, then end."""
        if self._thread is None:
            return
        self._closing.set()
        try:
            self._items.put_nowait(None)
        except queue.Full:
            logger.warning("events that could not be written are lost")
            return
        self._thread.join(within_s)

    def _run(self) -> None:
        client = None
        while (item := self._items.get()) is not None:
            give_up = time.monotonic() + GIVE_UP_S
            while True:
                try:
                    client = client or connect(self._url, name=self._name)
                    self._write(client, item)
                except REDIS_ERRORS as error:
                    self._on_failure()
                    if client is not None:
                        forget_connections(client)
                    wait = self._outage.failed(error)
                    if time.monotonic() + wait > give_up or self._closing.wait(wait):
                        break
                except Exception:
                    self._on_failure()
                    logger.exception("cannot write an event, it is dropped")
                    break
                else:
                    self._outage.over()
                    break
        if client is not None:
            client.close()

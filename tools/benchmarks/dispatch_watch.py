"""Watches the broker: which symbol was dispatched to whom, and when."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import defaultdict
from typing import Any, NamedTuple, Self

import redis

from tickfence.coordination.dispatch import Dispatch

_FAST_CYCLE = b"tasks.fast_cycle"
_BODY = re.compile(rb'body\\": \\"([A-Za-z0-9+/=]+)\\"')
"""Of a message of Celery, as ``MONITOR`` shows it: JSON whose quotation marks are escaped."""


class Sent(NamedTuple):
    """A dispatch of a symbol.

    Attributes:
        at_ms: when it was sent, by the clock of the data plane.
        owner: to whom, ``node/incarnation``.
        term: of the beat that sent it.
    """

    at_ms: int
    owner: str
    term: int


class DispatchWatch:
    """Reads each message of the fast cycle that reaches a Redis broker, within the ``with`` block.

    Args:
        port: loopback port of the broker.

    Attributes:
        sent: symbol -> its dispatches, in order.
    """

    def __init__(self, port: int) -> None:
        self.sent: dict[str, list[Sent]] = defaultdict(list)
        connection: Any = redis.Connection  # it has no types
        self._connection = connection(port=port)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="dispatch-watch", daemon=True)

    @property
    def watching(self) -> bool:
        """Whether it still watches: an error ends it."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._connection.connect()
        self._connection.send_command("MONITOR")
        self._connection.read_response()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join()
        self._connection.disconnect()

    def _run(self) -> None:
        while not self._ended:
            if self._connection.can_read(timeout=0.2):
                line = self._connection.read_response(disable_decoding=True)
                if b'"LPUSH"' in line[:120]:
                    self._note(line)

    def _note(self, line: bytes) -> None:
        if _FAST_CYCLE not in line or (found := _BODY.search(line)) is None:
            return
        (symbols, fields), _, _ = json.loads(base64.b64decode(found[1]))
        dispatch = Dispatch(*fields)
        sent = Sent(dispatch.sent_ms, dispatch.owner, dispatch.term)
        for symbol in symbols:
            self.sent[symbol].append(sent)

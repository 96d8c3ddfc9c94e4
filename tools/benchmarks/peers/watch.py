"""Sees every report that is written, by any writer and any command."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from typing import Any, Self

import hiredis

from tickfence.keys import Keys
from tools.local import ports

_BATCH_S = 0.004


class Watcher:
    """Notes when the report of each symbol is set, by Redis' keyspace notifications.

    They cost Redis one message for each report. The times are exact to 4 ms. Both are the same for all contestants.
    https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/

    Args:
        port: loopback port of a Redis; its database 0 is watched.
        keys: of the deployment.
    """

    def __init__(self, port: int, keys: Keys) -> None:
        self._prefix = b"__keyspace@0__:" + keys.report("").encode()
        self._times: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._socket = socket.create_connection((ports.LOOPBACK, port), timeout=5)
        self._reader = hiredis.Reader()
        self._ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"K$")
        self._ask(b"PSUBSCRIBE", self._prefix + b"*")
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def written(self, since: float = 0.0) -> dict[str, list[float]]:
        """Symbol -> when its reports were written since a moment: monotonic time in seconds, rising."""
        with self._lock:
            return {symbol: [time for time in times if time >= since] for symbol, times in self._times.items()}

    def close(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, *command: bytes) -> None:
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # any number of words
        while (reply := self._reader.gets()) is False:
            self._receive()
        if isinstance(reply, Exception):
            raise reply

    def _receive(self) -> None:
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionError("Redis closed the connection of the watcher")
        self._reader.feed(received)

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._receive()
            except TimeoutError:
                continue
            except OSError:
                return  # Redis ended
            now = time.monotonic()
            with self._lock:
                while (message := self._reader.gets()) is not False:
                    self._note(message, now)
            time.sleep(_BATCH_S)

    def _note(self, message: Any, now: float) -> None:
        _, _, channel, _ = message
        self._times[channel[len(self._prefix) :].decode()].append(now)

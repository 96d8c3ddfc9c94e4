"""Sees every report that is written, whoever writes it and by whatever command."""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from types import TracebackType
from typing import Any, Self

import hiredis

from tickfence.coordination.keys import report_key
from tools.local import ports

_PREFIX = b"__keyspace@0__:" + report_key("").encode()
_BATCH_S = 0.004


class Watcher:
    """Notes when each symbol's report is set, as told by Redis' keyspace notifications.

    It costs Redis a message a report, and hardly anything here: it reads every 4 ms what has come since, and that is
    how exact its times are. The same for all contestants.

    https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/

    Parameters:
        port: of a Redis on the loopback address; its database 0 is watched.
    """

    def __init__(self, port: int) -> None:
        self._times: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._socket = socket.create_connection((ports.LOOPBACK, port), timeout=5)
        self._reader = hiredis.Reader()
        self._ask(b"CONFIG", b"SET", b"notify-keyspace-events", b"K$")
        self._ask(b"PSUBSCRIBE", _PREFIX + b"*")
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._thread.start()

    def written(self, since: float = 0.0) -> dict[str, list[float]]:
        """symbol -> when its reports were written from ``since`` on, monotonic seconds, rising."""
        with self._lock:
            return {symbol: [time for time in times if time >= since] for symbol, times in self._times.items()}

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            raise ConnectionError("Redis ended while its reports were watched")
        self._reader.feed(received)

    def _watch(self) -> None:
        while not self._ended.is_set():
            try:
                self._receive()
            except TimeoutError:
                continue
            except OSError:
                return  # Redis ended: there is nothing more to be seen
            now = time.monotonic()
            with self._lock:
                while (message := self._reader.gets()) is not False:
                    self._note(message, now)
            time.sleep(_BATCH_S)

    def _note(self, message: Any, now: float) -> None:
        _, _, channel, _ = message
        self._times[channel[len(_PREFIX) :].decode()].append(now)

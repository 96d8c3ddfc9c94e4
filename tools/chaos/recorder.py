"""Records every write that Redis accepts, in the order and by the clock of Redis.

``MONITOR`` also shows the commands that scripts run. What the product's scripts write to leases and reports is
therefore exactly what Redis accepted, whatever a client believes, and the product needs no change to be watched.

A master and its replicas are all watched from the start, so that nothing is missed around a promotion. A replica shows
the writes of its master too, as commands from the master's address: those were recorded there already.

When Redis goes away, the recorder connects again within milliseconds. What it may have missed is noted as
:class:`tools.chaos.history.Unobserved`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from tickfence.keys import Keys
from tools.chaos.history import Acquisition, Appended, Record, Refused, Unobserved, Write, WrittenToOldMaster
from tools.chaos.monitor import MonitorReader

_RETRY_S = 0.005


class Mastership:
    """Tells which of several servers is the master, from what each of them shows. No I/O.

    A replica refuses the writes of clients, so a replica that accepts one was promoted. From then on the old master
    does not count, whatever it accepts: that is lost when it becomes a replica. It may count again after it has
    replicated.

    Example:
        >>> mastership = Mastership()
        >>> mastership.accepted("a"), mastership.replicated("b"), mastership.accepted("b"), mastership.accepted("a")
        (True, None, True, False)
    """

    def __init__(self) -> None:
        self._master = ""
        self._replicas: set[str] = set()

    def replicated(self, server: str) -> None:
        """``server`` carried out a command of its master."""
        if server != self._master:
            self._replicas.add(server)

    def promoted(self, server: str) -> None:
        """``server`` is the master from now on."""
        self._master = server
        self._replicas.discard(server)

    def accepted(self, server: str) -> bool:
        """``server`` carried out a write of a client; whether it is the master."""
        if not self._master or server in self._replicas:
            self.promoted(server)
        return server == self._master


class Recorder:
    """Watches one server, or a master and its replicas, within the ``with`` block.

    Args:
        keys: of the deployment.
        host: of all servers.
        ports: one for each server.

    Attributes:
        records: the history; others may append to it.
        latest: symbol -> newest report.
        appended: symbol that only one ingest may write -> its newest update.
        acquired_at: when a lease last got another owner: Unix time in seconds, by Redis.
        connected: set while every server is watched.
    """

    def __init__(self, keys: Keys, host: str, *ports: int) -> None:
        self._keys = keys
        self.records: list[Record] = []
        self.latest: dict[str, Write] = {}
        self.appended: dict[str, Appended] = {}
        self.acquired_at = 0.0
        self.connected = threading.Event()
        self._servers = {f"{host}:{port}": (host, port) for port in ports}
        self._watched: set[str] = set()
        self._mastership = Mastership()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(server,), name=f"recorder of {server}", daemon=True)
            for server in self._servers
        ]

    def __enter__(self) -> Recorder:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def promoted(self, host: str, port: int) -> None:
        """Treat a server as the master from now on, even if no client has written to it yet."""
        with self._lock:
            self._mastership.promoted(f"{host}:{port}")

    def _follow(self, server: str) -> None:
        since = 0.0
        while not self._ended.is_set():
            wait = _RETRY_S
            try:
                with socket.create_connection(self._servers[server], timeout=1) as connection:
                    connection.settimeout(0.2)
                    connection.sendall(b"CLIENT SETNAME chaos:recorder\r\nMONITOR\r\n")
                    lines = self._lines(connection)
                    if next(lines, b"") != b"+OK" or next(lines, b"") != b"+OK":
                        raise ConnectionError("loading")
                    if since:
                        self.records.append(Unobserved(time.time(), since, server))
                    wait = 0.0  # a promotion cuts all connections, and clients are back at once
                    self._set_watched(server, True)
                    self._record(server, lines)
            except OSError:
                pass  # Redis is away, as a fault; what may be missing is noted as Unobserved
            self._set_watched(server, False)
            since = time.time()
            self._ended.wait(wait)

    def _set_watched(self, server: str, watched: bool) -> None:
        with self._lock:
            (self._watched.add if watched else self._watched.discard)(server)
            if len(self._watched) == len(self._servers):
                self.connected.set()
            else:
                self.connected.clear()

    def _record(self, server: str, lines: Iterator[bytes]) -> None:
        def replicated() -> None:
            with self._lock:
                self._mastership.replicated(server)

        reader = MonitorReader(self._keys, self._servers, replicated)
        for line in lines:
            for record in reader.read(line):
                if isinstance(record, Refused):
                    self.records.append(record)
                elif isinstance(record, Appended):
                    self.records.append(record)
                    if record.last:
                        self.appended[record.symbol] = record
                else:
                    self._accepted(server, record)

    def _accepted(self, server: str, record: Acquisition | Write) -> None:
        with self._lock:
            if not self._mastership.accepted(server):
                self.records.append(WrittenToOldMaster(record.time, server, record))
                return
            self.records.append(record)
        if isinstance(record, Acquisition):
            self.acquired_at = record.time
        elif record.report:
            self.latest[record.symbol] = record

    def _lines(self, connection: socket.socket) -> Iterator[bytes]:
        rest = b""
        while not self._ended.is_set():
            try:
                chunk = connection.recv(1 << 20)
            except TimeoutError:
                continue
            if not chunk:
                return
            lines = (rest + chunk).split(b"\r\n")
            rest = lines.pop()
            yield from lines

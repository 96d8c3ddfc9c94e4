"""Redis' own account of every write it accepted, in its order and by its clock.

``MONITOR`` shows the commands that scripts run as they run them. What the product's scripts write to leases and
reports is therefore the truth about what was accepted, whatever any client believes; and the product needs no change
to be watched. Each master of a Redis Cluster needs a recorder of its own.

Of a master and its replicas all are watched from the start, so that nothing is missed around a promotion. A replica
shows what its master did as well, as commands that come from the master's address: those were recorded there.

When Redis goes away the recorder connects again within milliseconds; what it may have missed is noted as
:class:`tools.chaos.history.Blind`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from tools.chaos.history import Astray, Blind, Record, Take, Write
from tools.chaos.monitor_line import Shown, parse, source
from tools.chaos.refusals import Refusals
from tools.chaos.reign import Reign
from tools.chaos.truth import digest

_LEASE = b"lease:{report:"
_REPORT = b"report:"
_RETRY_S = 0.005


class Reader:
    """Turns MONITOR's lines into records. No I/O.

    A write shows as three lines: the call of a script that names owner and token (``EVALSHA``), and what it then
    does (``HSET`` of the lease's ``seq``, ``SET`` of the report). A script that refuses does not do these. A client
    that writes without a script shows as ``HSET`` and ``SET`` of its own.

    Parameters:
        servers: addresses, host:port, of which one may be the master of the server that is read.
        on_replicated: called for each line that shows what that one did.
    """

    def __init__(self, servers: Collection[str] = (), on_replicated: Callable[[], None] = lambda: None) -> None:
        self._servers = {server.encode() for server in servers}
        self._on_replicated = on_replicated
        self._call = b""
        self._numbered: dict[str, tuple[bytes, dict[bytes, bytes], bytes]] = {}

    def read(self, line: bytes) -> Take | Write | None:
        """Take in one line."""
        if b'"EVAL' in line[:80]:
            self._call = line
            return None
        is_lease = b'"HSET" "lease:{report:' in line
        if not (is_lease or b'"SET" "report:' in line or b'"SET" "slow:{report:' in line or b'"set" "report:' in line):
            return None
        if source(line) in self._servers:
            self._on_replicated()
            return None
        if is_lease:
            shown = parse(line)
            return self._lease(shown) if shown else None
        shown = parse(line, most=3)
        return self._value(shown) if shown else None

    def _lease(self, shown: Shown) -> Take | None:
        key, rest = shown.arguments[1], shown.arguments[2:]
        symbol = key[len(_LEASE) : -1]
        fields = dict(zip(rest[::2], rest[1::2], strict=False))
        if fields.get(b"owner") and b"token" in fields and shown.source == "lua":
            return Take(shown.time, symbol.decode(), fields[b"owner"].decode(), int(fields[b"token"]))
        if b"seq" in fields:
            self._numbered[shown.source] = symbol, fields, self._call if shown.source == "lua" else b""
        return None

    def _value(self, shown: Shown) -> Write | None:
        key, value = shown.arguments[1], shown.arguments[2]
        is_report = key.startswith(_REPORT)
        symbol = key[len(_REPORT) :] if is_report else key[len(b"slow:{report:") : -1]
        numbered = self._numbered.pop(shown.source, None)
        if numbered is None or numbered[0] != symbol:
            numbered = (symbol, {}, b"")
        if not is_report and not numbered[1]:
            return None  # part of a write that was read already
        fields, owner, token = numbered[1], fields_owner(numbered[1]), 0
        if numbered[2]:
            owner, token = called_by(numbered[2]), int(fields.get(b"token", 0))
        depth = ""
        if is_report:
            report = _decode_report(value)
            token, owner = report.writer.writerToken, owner or report.writer.nodeId
            depth = digest(
                [(level.price, level.qty) for level in report.depth.bids],
                [(level.price, level.qty) for level in report.depth.asks],
            )
        seq, update_id = fields.get(b"seq"), fields.get(b"basis")
        return Write(
            shown.time,
            symbol.decode(),
            owner,
            token,
            seq=int(seq) if seq else None,
            update_id=int(update_id) if update_id else None,
            depth=depth,
            report=is_report,
        )


def fields_owner(fields: dict[bytes, bytes]) -> str:
    """The owner that a lease's fields name, or ""."""
    return fields.get(b"owner", b"").decode()


def called_by(line: bytes) -> str:
    """The owner that a call of ``fenced_write.lua`` names: the first argument behind its keys."""
    shown = parse(line, most=3)
    if shown is None:
        return ""
    keys = int(shown.arguments[2])
    shown = parse(line, most=4 + keys)
    return shown.arguments[3 + keys].decode() if shown else ""


class _Level(msgspec.Struct):
    price: float
    qty: float


class _Depth(msgspec.Struct):
    bids: list[_Level]
    asks: list[_Level]


class _Writer(msgspec.Struct):
    nodeId: str
    writerToken: int


class _Report(msgspec.Struct):
    writer: _Writer
    depth: _Depth


_decode_report = msgspec.json.Decoder(_Report).decode


class Recorder:
    """Follows Redis from entering the ``with`` block to leaving it: one server, or a master and its replicas.

    What a server accepts that is no longer the master is recorded as :class:`tools.chaos.history.Astray`.

    Attributes:
        records: what happened; others may append their own facts.
        latest: the newest report of each symbol.
        taken_at: time of the last change of hands.
        connected: set while every server is watched.
    """

    def __init__(self, host: str, *ports: int) -> None:
        self.records: list[Record] = []
        self.latest: dict[str, Write] = {}
        self.taken_at = 0.0
        self.connected = threading.Event()
        self._servers = {f"{host}:{port}": (host, port) for port in ports}
        self._watched: set[str] = set()
        self._reign = Reign()
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
        """Take a server for the master from now on, also if no client has written to it yet."""
        with self._lock:
            self._reign.promoted(f"{host}:{port}")

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
                        self.records.append(Blind(time.time(), since, server))
                    wait = 0.0  # Sentinel cuts all connections to a server when it promotes it, and clients are quick
                    self._note(server, watched=True)
                    self._record(server, lines)
            except OSError:
                pass  # Redis is away; that is what is being tried, and Blind tells of it
            self._note(server, watched=False)
            since = time.time()
            self._ended.wait(wait)

    def _note(self, server: str, *, watched: bool) -> None:
        with self._lock:
            (self._watched.add if watched else self._watched.discard)(server)
            if len(self._watched) == len(self._servers):
                self.connected.set()
            else:
                self.connected.clear()

    def _record(self, server: str, lines: Iterator[bytes]) -> None:
        def replicated() -> None:
            with self._lock:
                self._reign.replicated(server)

        reader, refusals = Reader(self._servers, replicated), Refusals()
        for line in lines:
            self.records += refusals.read(line)
            record = reader.read(line)
            if record is None:
                continue
            with self._lock:
                counts = self._reign.accepted(server)
                self.records.append(record if counts else Astray(record.time, server, record))
            if not counts:
                continue
            if isinstance(record, Take):
                self.taken_at = record.time
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

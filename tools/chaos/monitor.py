"""What Redis' ``MONITOR`` shows, turned into records of a history. No I/O.

https://redis.io/docs/latest/commands/monitor/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from tickfence.coordination.lease import LeaseRecord, WriteCall
from tickfence.keys import Keys
from tools.chaos.history import Acquisition, Appended, Refused, Write
from tools.chaos.reference_books import digest

_LINE = re.compile(rb"\+?(\d+\.\d+) \[\d+ (\S*)\] (.*)", re.DOTALL)
_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_HEAD = 120
"""Within so many bytes every line names its source, even an IPv6 address."""

_CONTROL = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_SCRIPT = "lua"


class Command(NamedTuple):
    """A command as ``MONITOR`` shows it.

    Attributes:
        time: of the server, in seconds.
        source: the address of the client, or ``lua`` for a command that a script runs.
        arguments: the command's name and its arguments.
    """

    time: float
    source: str
    arguments: list[bytes]


def parse(line: bytes, max_arguments: int | None = None) -> Command | None:
    r"""Read one line, given without its end; ``None`` if it shows no command, like the first ``+OK``.

    Args:
        line: as Redis sent it.
        max_arguments: how many arguments to read, the command's name included; all by default.

    Example:
        >>> parse(b'+1339518083.107412 [0 127.0.0.1:60866] "SET" "a" "x\\"y"')
        Command(time=1339518083.107412, source='127.0.0.1:60866', arguments=[b'SET', b'a', b'x"y'])
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    arguments: list[bytes] = []
    for argument in _ARGUMENT.finditer(found[3]):
        if len(arguments) == max_arguments:
            break
        text = argument[1]
        arguments.append(_ESCAPED.sub(_unescape, text) if b"\\" in text else text)
    return Command(float(found[1]), found[2].decode(), arguments)


def source(line: bytes) -> bytes:
    """Who sent the command of a line. Much cheaper than :func:`parse`.

    Example:
        >>> source(b'+1339518083.107412 [0 127.0.0.1:60866] "SET" "a" "b"')
        b'127.0.0.1:60866'
    """
    return line[:_HEAD].partition(b"] ")[0].rpartition(b" ")[2]


class MonitorReader:
    """Turns the lines of one server into records.

    An accepted write is three lines: the call of ``fenced_write.lua``, which names the owner and the leases
    (``EVALSHA``), and the commands that the script runs before any other client's: ``HSET`` of the lease's ``seq``, and
    ``SET`` of the report. A script that refuses a write does not run them, nor does one that finds a repetition or that
    Redis does not know: such a lease is a :class:`tools.chaos.history.Refused`, which shows at the next call. A client
    that writes without a script shows as its own ``HSET`` and ``SET``.

    What an ingest writes of a symbol under its lease is the call of ``fenced_commands.lua``, and the commands that it runs.

    Args:
        keys: of the deployment.
        servers: addresses, host:port, of which one may be the master of this server.
        on_replicated: called for each line that shows what that master did.
    """

    def __init__(
        self, keys: Keys, servers: Collection[str] = (), on_replicated: Callable[[], None] = lambda: None
    ) -> None:
        self._servers = {server.encode() for server in servers}
        self._on_replicated = on_replicated
        self._lease = _Pattern(keys.lease)
        self._report = _Pattern(keys.report)
        self._slow = _Pattern(keys.slow)
        self._hset_lease = b'"HSET" "' + self._lease.prefix
        self._set_value = tuple(
            b'"%s" "%s' % (command, pattern.prefix)
            for command, pattern in ((b"SET", self._report), (b"set", self._report), (b"SET", self._slow))
        )
        self._market_data = b'"' + _Pattern(keys.book).prefix
        self._book, self._trades = _Pattern(keys.book), _Pattern(keys.trades)
        self._snapshot, self._writer = _Pattern(keys.snapshot), _Pattern(keys.writer)
        self._appender = "", 0
        self._led: set[str] = set()
        self._call: WriteCall | None = None
        self._call_time = 0.0
        self._unwritten: set[str] = set()
        self._numbered: dict[str, tuple[str, LeaseRecord, str]] = {}

    def read(self, line: bytes) -> list[Acquisition | Write | Refused | Appended]:
        """Take one line; returns what it shows."""
        if b'"EVAL' in line[:_HEAD]:
            refused = self._refused()
            self._note_call(line)
            return refused
        if self._market_data in line[:_HEAD]:
            appended = None if source(line) in self._servers else self._read_appended(line)
            return [appended] if appended else []
        is_lease = self._hset_lease in line
        if not is_lease and not any(start in line for start in self._set_value):
            return []
        if source(line) in self._servers:
            self._on_replicated()
            return []
        command = parse(line, None if is_lease else 3)
        record = command and (self._read_lease(command) if is_lease else self._read_value(command))
        return [record] if record else []

    def _note_call(self, line: bytes) -> None:
        head = parse(line, 3)
        # The number of keys is the third argument; the owner follows the keys, and of an ingest its token.
        count = int(head.arguments[2]) if head and head.arguments[2:] else 0
        command = parse(line, 5 + count) if count else None
        if command and count > 1 and self._writer.has(key := command.arguments[3].decode()):
            owner, token = command.arguments[3 + count : 5 + count]
            self._appender = owner.decode(), int(token)
            self._led.add(self._writer.symbol(key))
        self._call = WriteCall.from_command(command.arguments) if command else None
        if command and self._call:
            self._call_time, self._unwritten = command.time, set(self._call.leases)

    def _read_appended(self, line: bytes) -> Appended | None:
        """What is written of a symbol under a lease, or should be."""
        command = parse(line)
        if command is None or command.arguments[0] not in (b"XADD", b"SET"):
            return None
        key, rest = command.arguments[1].decode(), command.arguments[2:]
        pattern = next((one for one in (self._book, self._trades, self._snapshot) if one.has(key)), None)
        if pattern is None or (symbol := pattern.symbol(key)) not in self._led:
            return None
        owner, token = self._appender if command.source == _SCRIPT else ("", 0)
        if pattern is not self._book:
            return Appended(command.time, symbol, owner, token)
        at = rest.index(b"U")
        fields = dict(zip(rest[at::2], rest[at + 1 :: 2], strict=True))
        last = int(rest[at - 1].partition(b"-")[2])
        changes = fields[b"b"] + fields[b"a"] != b"[][]"
        return Appended(command.time, symbol, owner, token, int(fields[b"U"]), last, changes)

    def _refused(self) -> list[Acquisition | Write | Refused | Appended]:
        """Leases of the last call whose write changed nothing."""
        leases, self._unwritten = sorted(self._unwritten), set()
        owner = self._call.owner if self._call else ""
        return [Refused(self._call_time, self._lease.symbol(key), owner) for key in leases]

    def _read_lease(self, command: Command) -> Acquisition | None:
        key, rest = command.arguments[1].decode(), command.arguments[2:]
        fields = dict(zip(rest[::2], rest[1::2], strict=False))
        lease, symbol = LeaseRecord.from_hash(fields), self._lease.symbol(key)
        by_script = command.source == _SCRIPT
        if by_script:
            self._unwritten.discard(key)
        if by_script and lease.owner and lease.token:
            return Acquisition(command.time, symbol, lease.owner, lease.token)
        if b"seq" in fields:
            self._numbered[command.source] = symbol, lease, self._call.owner if by_script and self._call else ""
        return None

    def _read_value(self, command: Command) -> Write | None:
        key, value = command.arguments[1].decode(), command.arguments[2]
        is_report = key.startswith(self._report.text)
        symbol = (self._report if is_report else self._slow).symbol(key)
        of_symbol, lease, caller = self._numbered.pop(command.source, ("", LeaseRecord(), ""))
        numbered = of_symbol == symbol
        if not numbered:
            lease, caller = LeaseRecord(), ""
        if not is_report and not numbered:
            return None  # part of a write that was read already
        owner, token, depth = caller or lease.owner, lease.token, ""
        if is_report:
            report = _decode_report(value)
            owner, token = owner or report.writer.nodeId, report.writer.writerToken
            depth = digest(
                [(level.price, level.qty) for level in report.depth.bids],
                [(level.price, level.qty) for level in report.depth.asks],
            )
        return Write(
            command.time,
            symbol,
            owner,
            token,
            seq=lease.seq if numbered else None,
            update_id=lease.basis if numbered else None,
            depth=depth,
            report=is_report,
        )


class _Pattern:
    """The keys of one kind, for any symbol."""

    def __init__(self, key: Callable[[str], str]) -> None:
        self.text, _, self._end = key("*").partition("*")
        self.prefix = self.text.encode()

    def has(self, key: str) -> bool:
        """Whether a key is one of these."""
        return key.startswith(self.text) and key.endswith(self._end)

    def symbol(self, key: str) -> str:
        return key.removeprefix(self.text).removesuffix(self._end)


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


def _unescape(escaped: re.Match[bytes]) -> bytes:
    what = escaped[1]
    if what.startswith(b"x") and len(what) == 3:
        return bytes([int(what[1:], 16)])
    return _CONTROL.get(what, what)

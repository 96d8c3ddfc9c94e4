"""One line of Redis' ``MONITOR``. https://redis.io/docs/latest/commands/monitor/"""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE = re.compile(rb"\+?(\d+\.\d+) \[\d+ (\S*)\] (.*)", re.DOTALL)
_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_HEAD = 120  # within which every line has named its source, be it an IPv6 address
_CONTROL = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}


class Shown(NamedTuple):
    """A command as MONITOR showed it.

    ``time`` is the server's, in seconds; ``source`` the client's address, or ``lua`` for a command that a script ran.
    """

    time: float
    source: str
    arguments: list[bytes]


def parse(line: bytes, most: int | None = None) -> Shown | None:
    """Read one line, without its end; ``None`` for what shows no command, like the ``+OK`` of the beginning.

    ``most``: how many arguments to read, the command's name included; all by default.

    Example:
        >>> parse(b'+1339518083.107412 [0 127.0.0.1:60866] "SET" "a" "x\\\\"y"')
        Shown(time=1339518083.107412, source='127.0.0.1:60866', arguments=[b'SET', b'a', b'x"y'])
    """
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    arguments: list[bytes] = []
    for argument in _ARGUMENT.finditer(found[3]):
        if len(arguments) == most:
            break
        text = argument[1]
        arguments.append(_ESCAPED.sub(_unescape, text) if b"\\" in text else text)
    return Shown(float(found[1]), found[2].decode(), arguments)


def source(line: bytes) -> bytes:
    """Who sent the command of a line: all that is asked of most lines, at little cost.

    Example:
        >>> source(b'+1339518083.107412 [0 127.0.0.1:60866] "SET" "a" "b"')
        b'127.0.0.1:60866'
    """
    return line[:_HEAD].partition(b"] ")[0].rpartition(b" ")[2]


def _unescape(escaped: re.Match[bytes]) -> bytes:
    what = escaped[1]
    if what.startswith(b"x") and len(what) == 3:
        return bytes([int(what[1:], 16)])
    return _CONTROL.get(what, what)

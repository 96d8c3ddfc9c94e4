"""A command in a real pseudo-terminal, which a test may resize."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable

from rich.cells import cell_len

from tests.cli.processes import CELERY, environment
from tools.local.roles import ROOT

LEAVES_THE_SCREEN, SHOWS_THE_CURSOR = b"\x1b[?1049l", b"\x1b[?25h"
_HOME = b"\x1b[H"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """``celery -A tasks ...`` in a terminal of its own.

    Args:
        url: the Redis it reads.
        arguments: after ``celery -A tasks``.
        columns: the terminal's width.
        lines: its height.
        more: further variables of its environment.
    """

    def __init__(self, url: str, *arguments: str, columns: int = 80, lines: int = 24, **more: str) -> None:
        self._ours, self._theirs = pty.openpty()
        self.resize(columns, lines)
        plain = {name: value for name, value in environment(url).items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, CELERY, "-A", "tasks", *arguments],
            cwd=ROOT,
            env=plain | {"TERM": "xterm-256color"} | more,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            # As in a terminal, even where this process was started in the background, which ignores it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        os.close(self._theirs)
        self.seen = b""

    def resize(self, columns: int, lines: int = 24) -> None:
        """Give it another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, until: bytes | None = None) -> bytes:
        """All it shows until then, or to its end."""
        self.read_while(lambda: until is None or until not in self.seen, until is None)
        return self.seen

    def read_while(self, lacks: Callable[[], bool], may_end: bool = False) -> None:
        """Take what it shows while ``lacks()`` holds.

        Raises:
            AssertionError: It shows nothing for 30 s, or it ends too early.
        """
        while lacks():
            assert select.select([self._ours], [], [], 30)[0], self.seen.decode(errors="replace")
            try:
                self.seen += os.read(self._ours, 65536)
            except OSError:  # Linux's way to say that the other side has ended
                assert may_end, self.seen.decode(errors="replace")
                break

    def refreshes(self, number: int) -> list[list[str]]:
        """Wait for ``number`` further whole screens; their lines, without colours."""
        self.seen = b""
        self.read_while(lambda: self.seen.count(_HOME) <= number)
        screens = self.seen.split(_HOME)[1 : number + 1]
        return [_CONTROL.sub("", one.decode()).rstrip().splitlines() for one in screens]

    def end(self, number: int) -> int:
        """Send a signal; the status."""
        self.process.send_signal(number)
        self.read()
        return self.process.wait(20)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


def broken(lines: list[str], columns: int) -> list[str]:
    """The lines that a terminal of that width breaks, and those that a table lost an edge of."""
    tables = ("│", "┃", "║")
    return [
        line
        for line in lines
        if cell_len(line) > columns or (line[:1] in tables and line.rstrip()[-1:] not in tables) or "Traceback" in line
    ]

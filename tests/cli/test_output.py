"""Where what is shown goes to: pipes, full disks, terminals of all sorts, and locales without its letters."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios

import pytest
import redis

from tests.cli.processes import CELERY, environment, shell
from tests.cli.test_views import now_ms, report
from tickfence.keys import Keys
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis
from tools.local.roles import ROOT

KEYS = Keys()

ALL = ("owners", "nodes", "explain BTCUSDT", "timeline", "show BTCUSDT")
LEAVES_THE_SCREEN, SHOWS_THE_CURSOR = b"\x1b[?1049l", b"\x1b[?25h"


@pytest.fixture
def url(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> str:
    """A Redis with one symbol, its owner, a lead and an event."""
    now = now_ms(redis_client)
    redis_client.hset(KEYS.assignment, mapping={"term": 1, "generation": 1, "BTCUSDT": "node-001/a"})
    redis_client.hset("nt:dispatcher", mapping={"leader": "beat", "term": 1, "until": now + 60_000})
    redis_client.set(KEYS.report("BTCUSDT"), json.dumps(report(now)))
    events.queue_append(redis_client, KEYS, events.conflict_event("BTCUSDT", "node-001", "node-002"))
    return redis_server.url()


@pytest.mark.parametrize("output", ["", " --json", " --watch", " --watch --json"])
def test_who_reads_may_stop_reading(url: str, output: str) -> None:
    shown = shell(url, f"celery owners{output} | true")
    assert (shown.returncode, shown.stderr) == (1, "")


@pytest.mark.parametrize("output", ["", " --json", " --watch"])
def test_a_full_disk_is_one_line_and_a_status(url: str, output: str) -> None:
    shown = shell(url, f"celery owners{output} > /dev/full")
    assert (shown.returncode, shown.stderr) == (74, "Error: standard output: No space left on device\n")


def test_so_is_no_standard_output(url: str) -> None:
    shown = shell(url, "celery owners >&-")
    assert (shown.returncode, shown.stderr) == (74, "Error: standard output is closed\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_without_the_letters_it_shows_what_it_can(url: str, encoding: str) -> None:
    shown = shell(url, " && ".join(f"celery {command}" for command in ALL), PYTHONIOENCODING=encoding)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.isascii()
    assert "###" in shown.stdout  # the depth of the book


def test_a_locale_of_ascii_alone_will_do(url: str) -> None:
    shown = shell(url, "celery owners", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "BTCUSDT" in shown.stdout


class Terminal:
    """``celery -A tasks ...`` in a terminal of its own, 80 by 24."""

    def __init__(self, url: str, *arguments: str, **more: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        plain = {name: value for name, value in environment(url).items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, CELERY, "-A", "tasks", *arguments],
            cwd=ROOT,
            env=plain | {"TERM": "xterm-256color"} | more,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # As in a terminal, even where this process was started in the background, which ignores it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        os.close(theirs)
        self.seen = b""

    def read(self, until: bytes | None = None) -> bytes:
        """All it shows until then, or to its end."""
        while until is None or until not in self.seen:
            assert select.select([self._ours], [], [], 30)[0], self.seen.decode(errors="replace")
            try:
                self.seen += os.read(self._ours, 65536)
            except OSError:  # Linux's way to say that the other side has ended
                assert until is None, self.seen.decode(errors="replace")
                break
        return self.seen

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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_the_terminal_is_left_as_it_was(url: str, number: signal.Signals, status: int) -> None:
    with Terminal(url, "owners", "--watch") as terminal:
        terminal.read(b"generation")
        assert terminal.end(number) == status
        assert terminal.seen.endswith(SHOWS_THE_CURSOR + LEAVES_THE_SCREEN)


def test_a_terminal_that_can_do_nothing_gets_one_table_after_the_other(url: str) -> None:
    with Terminal(url, "owners", "--watch", TERM="dumb") as terminal:
        terminal.read(b"generation")
        terminal.seen = b""
        assert b"\x1b" not in terminal.read(b"generation")
        assert terminal.end(signal.SIGINT) == 0


def test_what_is_higher_than_the_terminal_says_how_much_is_missing(url: str, redis_client: redis.Redis) -> None:
    redis_client.hset(KEYS.assignment, mapping={f"S{number}USDT": "node-001/a" for number in range(100)})
    with Terminal(url, "owners", "--watch") as terminal:
        # A title, a heading of three lines, 101 symbols, an edge and a caption; of the 24 lines the last tells.
        terminal.read(b"84 more lines")
        assert b"101 symbols" in terminal.seen


@pytest.mark.parametrize("command", ALL)
def test_no_colour_where_none_is_wanted(url: str, command: str) -> None:
    with Terminal(url, *command.split(), NO_COLOR="1") as terminal:
        shown = terminal.read()
        assert terminal.process.wait(20) == 0
    assert b"BTCUSDT" in shown or command == "nodes"
    assert b"\x1b[3" not in shown.replace(b"\x1b[3m", b"")  # italics are no colour

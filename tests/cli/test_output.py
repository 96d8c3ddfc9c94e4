"""Where what is shown goes to: pipes, full disks, terminals of all sorts, and locales without its letters."""

from __future__ import annotations

import json
import signal

import pytest
import redis

from tests.cli.processes import shell
from tests.cli.terminal import LEAVES_THE_SCREEN, SHOWS_THE_CURSOR, Terminal
from tests.cli.test_views import now_ms, report
from tickfence.keys import Keys
from tickfence.timeline import events
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()

ALL = ("owners", "nodes", "explain BTCUSDT", "timeline", "show BTCUSDT")


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


def test_without_the_letters_it_shows_what_it_can(url: str) -> None:
    line = " && ".join(f"celery {command}" for command in ALL)
    shown = shell(url, f"{line} && PYTHONIOENCODING=latin-1 celery show BTCUSDT", PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.isascii()
    assert "###" in shown.stdout  # the depth of the book


def test_a_locale_of_ascii_alone_will_do(url: str) -> None:
    shown = shell(url, "celery owners", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "BTCUSDT" in shown.stdout


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

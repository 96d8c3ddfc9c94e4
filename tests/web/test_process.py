"""``tickfence web`` as a process: how it starts, what it says, how it ends."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.frozen_objects import frozen, telling
from tests.processes import wait_until
from tests.role_process import ROOT
from tests.web.web_process import WebProcess
from tickfence.__main__ import main
from tickfence.settings import Settings
from tickfence.web import command
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

pytestmark = pytest.mark.usefixtures("redis_client")  # the shared server is empty then

ENDS_WITHIN_S = 3


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs the command with these arguments, in this process; its status and what it said on standard error."""

    def running(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tickfence", "web", *arguments])
        try:
            status = main()
        except SystemExit as end:
            status = int(str(end.code))
        return status, capsys.readouterr().err

    return running


def test_a_taken_port_is_one_clear_line(run: Callable[..., tuple[int, str]]) -> None:
    with socket.socket() as other:
        other.bind((ports.LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        wanted = f"error: cannot listen on 127.0.0.1, port {port}: Address already in use; give another --port\n"
        assert run("--port", str(port)) == (1, wanted)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--port", "65536"), 2, "'65536' must be a whole number from 0 to 65535"),
        (("--port", "http"), 2, "'http' must be a whole number"),
        (("--port", "²"), 2, "'²' must be a whole number"),
        (("--port", "9" * 5000), 2, f"'{'9' * 40}' must be a whole number"),
        (("--host", ""), 2, "'' must be a host's name or address: it is empty"),
        (("--host", "a..b"), 2, "'a..b' must be a host's name or address: "),
        (("--host", "a" * 300), 2, f"'{'a' * 40}' must be a host's name or address: "),
        (("--host", "no.such.host.invalid"), 1, "error: cannot listen on no.such.host.invalid, port 8000: "),
        (("--host", "192.0.2.1"), 1, "port 8000: Cannot assign requested address; give another --host\n"),
    ],
)
def test_an_address_that_cannot_be_is_told(
    run: Callable[..., tuple[int, str]], arguments: tuple[str, ...], status: int, told: str
) -> None:
    ended = run(*arguments)
    assert ended[0] == status and told in ended[1]


def test_it_has_its_port_before_it_loads_what_takes_long() -> None:
    code = "import sys, tickfence.__main__; sys.exit(len({'fastapi', 'mcp', 'uvicorn', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_cleanly_with_streams_open(
    redis_server: EmbeddedRedis, number: signal.Signals, tmp_path: Path
) -> None:
    with WebProcess(redis_server.url(), **telling(tmp_path)).wait_until_up() as web, ExitStack() as open_streams:
        for path in ("/stream", "/stream/BTCUSDT"):
            stream = open_streams.enter_context(web.stream(path))
            stream.until("state", "absent")
        started = time.monotonic()
        assert web.stop(number) == 0
        assert time.monotonic() - started < ENDS_WITHIN_S
        assert frozen(tmp_path) > 10_000
        lines = [json.loads(line) for line in web.log_text().splitlines()]
        assert lines[-1]["message"] == "web stopped"
        assert [line for line in lines if line["level"] in ("ERROR", "CRITICAL")] == []


def test_a_signal_that_comes_before_it_serves_is_not_lost(redis_server: EmbeddedRedis) -> None:
    with WebProcess(redis_server.url()) as web:
        wait_until(lambda: "web starts" in web.log_text(), "its first line", 60, 0.001)
        assert web.stop(signal.SIGTERM) == 0


def test_it_lets_everyone_read_only_if_that_is_wanted(
    redis_server: EmbeddedRedis, run: Callable[..., tuple[int, str]]
) -> None:
    why = "everyone who reaches 0.0.0.0 could read everything: set NT_WEB_TOKEN, or NT_WEB_ALLOW_ANONYMOUS=true"
    status, told = run("--host", "0.0.0.0", "--port", "0")
    assert status == 2 and why in told
    with WebProcess(redis_server.url(), "--host", "0.0.0.0", NT_WEB_ALLOW_ANONYMOUS="true").wait_until_up() as web:
        wait_until(lambda: f'"address": "http://0.0.0.0:{web.port}"' in web.log_text(), "its address is told")
        assert (web.get("/healthz").status, web.get("/healthz", Host="any.example").status) == (200, 421)
    with WebProcess(redis_server.url(), "--host", "0.0.0.0", NT_WEB_TOKEN="a-token-of-some-length") as web:
        assert web.wait_until_up().get("/healthz", Host="any.example").status == 200


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("grafana short-token", "line 1 must be a name and a token of 16 to 256 characters"),
        ("a-token-of-some-length", "line 1 must be a name and a token"),
        ("a a-token-of-some-length\nb a-token-of-some-length", "line 2 repeats a name or a token"),
        ("# nobody", "must hold at least one name and token"),
        (None, "must be a file that can be read: No such file or directory"),
    ],
)
def test_a_file_of_tokens_that_cannot_be_used_is_told_without_a_token(
    run: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str | None, told: str
) -> None:
    path = tmp_path / "tokens"
    if lines is not None:
        path.write_text(lines)
    settings = Settings.from_environment({"NT_WEB_TOKENS_FILE": str(path)})
    monkeypatch.setattr(command, "load_for_reader", lambda: settings)
    status, error = run("--port", "0")
    assert status == 2 and f"NT_WEB_TOKENS_FILE={path}: {told}" in error and "-token-" not in error.replace(told, "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_it_is_called_by_the_loopback_address_that_it_listens_on(redis_server: EmbeddedRedis) -> None:
    with WebProcess(redis_server.url(), "--host", "127.0.0.2") as web:

        def status(host: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.2", web.port, timeout=20)
            try:
                connection.request("GET", "/symbols", headers={"Host": host})
                return connection.getresponse().status
            except ConnectionRefusedError:
                return 0
            finally:
                connection.close()

        wait_until(lambda: status(f"127.0.0.2:{web.port}") == 200, web.log_text, 60)
        assert (status("localhost"), status("127.0.0.3"), status("evil.example")) == (200, 200, 421)


def test_a_token_that_is_too_short_ends_it_without_showing_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tickfence", "web"],
        cwd=ROOT,
        env={"NT_WEB_TOKEN": "short"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: NT_WEB_TOKEN=***: must have 16 to 256 ")

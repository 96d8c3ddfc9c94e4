"""Clients that ask and never read, a thousand of them with streams: borne without harm to the others."""

from __future__ import annotations

import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tickfence.web.connections import REQUEST_WITHIN_S
from tickfence.web.sending import MAX_OF_CLIENT, MAX_WAITING
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

CLIENTS = 1000
SYMBOLS = 200
GROWTH_MB = 300


@contextmanager
def files(soft: int) -> Iterator[None]:
    """With this limit of open files, for this process and those that it starts."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def resident_mb(pid: int) -> float:
    """Memory of a process, as Linux counts it; elsewhere 0."""
    if sys.platform != "linux":
        return 0
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


def closed(client: socket.socket) -> bool:
    """Waits until the server says something, and tells whether it was the end; a reset, if it has not read all."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.skipif(0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * CLIENTS, reason="too few files allowed")
def test_a_thousand_idle_clients(redis_server: EmbeddedRedis, cluster: Cluster) -> None:
    symbols = [f"S{number}USDT" for number in range(SYMBOLS)]
    cluster.assign(dict.fromkeys(symbols, "node-001"))
    with ExitStack() as opened:
        with files(CLIENTS // 2):  # it has to ask for more by itself
            web = opened.enter_context(
                WebProcess(
                    redis_server.url(),
                    NT_WEB_MAX_STREAMS=CLIENTS,
                    NT_WEB_MAX_CLIENT_STREAMS=CLIENTS,
                    NT_WEB_CLIENT_REQUESTS_PER_S=0,
                )
            ).wait_until_up()
        opened.enter_context(files(2 * CLIENTS))
        wait_until(lambda: web.get("/healthz").status == 200, "it is up")
        before = resident_mb(web.process.pid)
        for _ in range(CLIENTS - 1):
            client = opened.enter_context(socket.create_connection((ports.LOOPBACK, web.port), timeout=20))
            client.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream = opened.enter_context(web.stream())
        stream.until("state")
        wait_until(lambda: web.status("/stream") == 503, "all are served, and no more")
        for price in range(1, 9):
            for symbol in symbols:
                cluster.report(symbol, last_price=float(price))
            while not any(row["price"] == price for row in stream.until("rows")["rows"]):
                pass
        took = []
        for _ in range(20):
            started = time.perf_counter()
            assert web.get(f"/reports/{symbols[0]}").status == 200
            took.append(time.perf_counter() - started)
        assert sorted(took)[10] < 1
        assert resident_mb(web.process.pid) - before < GROWTH_MB
        assert "Traceback" not in web.log_text()
        assert web.stop() == 0


@pytest.mark.skipif(0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4 * CLIENTS, reason="too few files allowed")
def test_three_thousand_connections_that_send_half_a_request(web: WebProcess) -> None:
    with ExitStack() as opened:
        opened.enter_context(files(4 * CLIENTS))
        halves = []
        for _ in range(3 * CLIENTS):
            half = opened.enter_context(socket.create_connection((ports.LOOPBACK, web.port), timeout=20))
            half.sendall(b"GET /v1/symbols HTTP/1.1\r\nHost: localhost\r\n")
            halves.append(half)
        assert web.get("/v1/symbols").status == 200
        assert closed(halves[0]), "it was the oldest"
        started = time.monotonic()
        while not closed(halves[-1]):
            pass
        assert time.monotonic() - started < REQUEST_WITHIN_S + 5
        assert web.get("/v1/symbols").status == 200


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_headers(web: WebProcess) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    with socket.create_connection((ports.LOOPBACK, web.port), timeout=REQUEST_WITHIN_S + 5) as client:
        client.sendall(head + b"Content-Length: 99\r\n\r\n{")
        assert closed(client)
    assert web.get("/v1/symbols").status == 200
    assert "Traceback" not in web.log_text()


def test_large_answers_that_nobody_takes_fill_no_more_than_their_room(web: WebProcess, cluster: Cluster) -> None:
    symbols = [f"S{number}USDT" for number in range(1000)]
    cluster.assign(dict.fromkeys(symbols, "node-001"))
    for symbol in symbols:
        cluster.report(symbol)
    size = len(web.get("/reports").body)
    of_client, of_all = MAX_OF_CLIENT // size, MAX_WAITING // size
    with ExitStack() as opened:

        def status(host: int) -> int:
            """Of an answer that the client at 127.0.0.``host`` does not read on."""
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.bind((f"127.0.0.{host}", 0))
            client.connect((ports.LOOPBACK, web.port))
            client.sendall(b"GET /reports HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return int(client.recv(12).split()[1])

        assert [status(2) for _ in range(of_client + 2)] == [200] * of_client + [429] * 2
        rest = of_all - of_client
        assert [status(3 + number // of_client) for number in range(rest)] == [200] * rest
        refused = web.get("/reports")
        assert (refused.status, refused.json["title"]) == (503, "Too many answers wait")
        assert web.get(f"/reports/{symbols[0]}").status == 200
    wait_until(lambda: web.get("/reports").status == 200, "room is made")

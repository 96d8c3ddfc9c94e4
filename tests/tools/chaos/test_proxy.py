"""The proxy between a node and Redis, as a process of its own, with real connections through it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tools.local import ports
from tools.local.ports import LOOPBACK

ROOT = Path(__file__).parents[3]


@pytest.fixture
def target() -> Iterator[int]:
    """A server that sends back what it gets; its port."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((LOOPBACK, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class RunningProxy:
    """Two lanes, ``a`` and ``b``."""

    def __init__(self, lanes: dict[str, int], control: int) -> None:
        self._lanes, self._control = lanes, control

    def order(self, line: str, lane: str = "a") -> str:
        with socket.create_connection((LOOPBACK, self._control), timeout=5) as connection:
            connection.sendall(f"{lane} {line}\n".encode())
            return connection.makefile().readline().strip()

    def connect(self, lane: str = "a") -> socket.socket:
        return socket.create_connection((LOOPBACK, self._lanes[lane]), timeout=5)


@pytest.fixture
def proxy(target: int) -> Iterator[RunningProxy]:
    first = ports.pick()
    second = ports.pick(taken=[first])
    control = ports.pick(taken=[first, second])
    where = ("--to", target, "--control", control, "--lane", f"a={first}", "--lane", f"b={second}")
    process = subprocess.Popen([sys.executable, "-m", "tools.chaos.proxy", *map(str, where)], cwd=ROOT)
    try:
        wait_until(lambda: not ports.is_free(control), "the proxy listens")
        yield RunningProxy({"a": first, "b": second}, control)
    finally:
        process.kill()
        process.wait()


def ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    return received(connection, len(text))


def received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := connection.recv(65536)):
        data += chunk
    return data


def test_bytes_go_through_in_order(proxy: RunningProxy) -> None:
    text = b"".join(b"%07d " % number for number in range(100_000))
    with proxy.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(text,))
        sender.start()
        assert received(connection, len(text)) == text
        sender.join()


def test_an_end_on_one_side_is_an_end_on_the_other(proxy: RunningProxy) -> None:
    with proxy.connect() as connection:
        assert ask(connection, b"hello") == b"hello"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b""


def test_what_is_held_arrives_late_and_whole(proxy: RunningProxy) -> None:
    with proxy.connect() as connection:
        assert ask(connection, b"before") == b"before"
        assert proxy.order("hold") == "ok"
        connection.sendall(b"held")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        assert proxy.order("pass") == "ok"
        connection.settimeout(5)
        assert received(connection, 4) == b"held"


def test_cut_ends_what_there_is_and_refuses_what_comes(proxy: RunningProxy) -> None:
    with proxy.connect() as connection:
        assert ask(connection, b"before") == b"before"
        assert proxy.order("cut") == "ok"
        assert ended(connection)
    with proxy.connect() as another:
        assert ended(another)
    assert proxy.order("pass") == "ok"
    with proxy.connect() as connection:
        assert ask(connection, b"after") == b"after"


def test_each_lane_obeys_its_own_orders(proxy: RunningProxy) -> None:
    with proxy.connect("a") as one, proxy.connect("b") as other:
        assert (ask(one, b"before"), ask(other, b"before")) == (b"before", b"before")
        assert proxy.order("cut", "a") == "ok"
        assert ended(one)
        assert ask(other, b"after") == b"after"
    assert proxy.order("cut", "c") == "error: 'c': must be of a, b"


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(10) == b""
    except ConnectionResetError:
        return True


def test_delay_counts_both_ways(proxy: RunningProxy) -> None:
    assert proxy.order("delay 0.05 0.06") == "ok"
    with proxy.connect() as connection:
        started = time.monotonic()
        assert ask(connection, b"slow") == b"slow"
        assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize("order", ["", "hold on", "delay soon later", "stop"])
def test_an_order_it_does_not_know_is_an_error(proxy: RunningProxy, order: str) -> None:
    assert proxy.order(order).startswith("error: ")

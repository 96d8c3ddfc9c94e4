"""The way to the exchange through real proxies, and which one the environment means."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from ingest.proxy import BadProxy, proxy_for, shown
from tests.ingest.ingest_process import IngestProcess
from tests.processes import wait_until
from tests.tools.simulator.exchange_process import Exchange
from tools.local.embedded_redis import EmbeddedRedis

WSS, HTTPS = "wss://exchange.test:9443", "https://exchange.test"
DIRECT = {f"{name}_PROXY": "" for name in ("HTTP", "HTTPS", "ALL", "NO", "WS", "WSS")}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DIRECT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for exchange.test, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=exchange.test", "-addext", "subjectAltName=DNS:exchange.test")
    files = ("-keyout", str(key), "-out", str(certificate))
    subprocess.run([openssl, "req", "-x509", "-days", "2", *curve, *names, *files], check=True, capture_output=True)
    return certificate, key


class Proxy:
    """A running proxy in front of an exchange."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())

    def asked(self) -> set[str]:
        """End it; what it was asked for."""
        self._process.kill()
        assert self._process.stdout is not None
        return {line.strip() for line in self._process.stdout}


@contextmanager
def proxied(exchange: Exchange, certificate: tuple[Path, Path]) -> Iterator[Proxy]:
    arguments = [exchange.address.split(":")[1], *map(str, certificate)]
    command = [sys.executable, "-m", "tests.ingest.proxy_process", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Proxy(process)
        finally:
            process.kill()


BOTH = {"{how} exchange.test:443 {user}", "{how} exchange.test:9443 {user}"}


@pytest.mark.parametrize(
    ("variable", "scheme", "user", "rest", "ws", "asked"),
    [
        ("HTTPS_PROXY", "http", "", HTTPS, WSS, BOTH),
        ("all_proxy", "http", "ann:p%40ss", HTTPS, WSS, BOTH),
        ("ALL_PROXY", "socks5h", "ann:p%40ss", HTTPS, WSS, BOTH),
        (
            *("http_proxy", "http", "", "http://exchange.test", "ws://exchange.test:8080"),
            {"GET exchange.test:80", "CONNECT exchange.test:8080"},
        ),
    ],
)
def test_rest_and_websocket_go_through_the_proxy(
    variable: str,
    scheme: str,
    user: str,
    rest: str,
    ws: str,
    asked: set[str],
    redis_client: redis.Redis,
    redis_server: EmbeddedRedis,
    start_exchange: Callable[..., Exchange],
    certificate: tuple[Path, Path],
) -> None:
    with proxied(start_exchange("--symbols", "BTCUSDT"), certificate) as proxy:
        address = f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{proxy.port}"
        process = IngestProcess(
            symbols="BTCUSDT",
            redis_url=redis_server.url(),
            ws=ws,
            rest=rest,
            **DIRECT | {"SSL_CERT_FILE": certificate[0], variable: address},
        )
        with process as ingest:
            wait_until(lambda: redis_client.xlen("md:{BTCUSDT}:book") > 3, "diffs", 20)
            wait_until(lambda: redis_client.exists("md:{BTCUSDT}:info"), "the symbol's rules")
            [start] = [line for line in ingest.log() if line["message"] == "ingest starts"]
            assert start["ws_proxy"] == start["rest_proxy"] == address.replace("p%40ss", "***")
            assert "p%40ss" not in ingest.log_text()
        how = "socks" if scheme.startswith("socks") else "CONNECT"
        sent = user.replace("%40", "@")
        assert proxy.asked() == {line.format(how=how, user=sent).strip() for line in asked}


def test_a_proxy_that_is_away_is_tried_again(redis_server: EmbeddedRedis) -> None:
    with IngestProcess(
        symbols="BTCUSDT",
        redis_url=redis_server.url(),
        ws=WSS,
        rest=HTTPS,
        **DIRECT | {"ALL_PROXY": "socks5h://127.0.0.1:1"},
    ) as ingest:
        wait_until(lambda: sum("retry_s" in line for line in ingest.log()) >= 2, "the second attempt")
        assert ingest.process.poll() is None


def test_a_proxy_that_refuses_is_tried_again_and_its_password_not_told(redis_server: EmbeddedRedis) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with suppress(OSError):
                while True:
                    with server.accept()[0] as client:
                        client.recv(10_000)
                        client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        with IngestProcess(
            symbols="BTCUSDT",
            redis_url=redis_server.url(),
            ws=WSS,
            rest=HTTPS,
            **DIRECT | {"HTTPS_PROXY": f"http://ann:secret@127.0.0.1:{server.getsockname()[1]}"},
        ) as ingest:
            wait_until(lambda: sum("retry_s" in line and "407" in str(line) for line in ingest.log()) >= 2, "attempts")
            assert "secret" not in ingest.log_text()
        server.shutdown(socket.SHUT_RDWR)


def test_a_proxy_that_cannot_be_used_is_one_clear_line(redis_server: EmbeddedRedis) -> None:
    with IngestProcess(
        symbols="BTCUSDT",
        redis_url=redis_server.url(),
        ws=WSS,
        rest=HTTPS,
        **DIRECT | {"HTTPS_PROXY": "ftp://ann:secret@proxy.example:21"},
    ) as process:
        assert process.process.wait(timeout=15) == 2
        assert process.log_text().splitlines()[-1] == (
            "error: HTTPS_PROXY=ftp://ann:***@proxy.example:21: must be a host and port after one of http://, https://, "
            "socks5://, socks5h://, socks4://, socks4a://"
        )


@pytest.mark.parametrize(
    ("variables", "ws", "rest"),
    [
        ({}, "none", "none"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1", "http://p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "http://p:1", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "none", "none"),
        ({"ALL_PROXY": "socks5://p:1"}, "socks5://p:1", "socks5://p:1"),
        ({"ALL_PROXY": "socks5://p:1", "HTTPS_PROXY": "http://q:1"}, "http://q:1", "http://q:1"),
        ({"HTTPS_PROXY": "http://p:1", "WSS_PROXY": "http://q:1"}, "http://q:1", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "exchange.test"}, "none", "none"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".test"}, "none", "none"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "exchange.test:9443"}, "none", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, "none", "none"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.test"}, "http://p:1", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "http://p:1", "http://p:1"),
        ({"HTTPS_PROXY": "http://ann:secret@p:1"}, "http://ann:***@p:1", "http://ann:***@p:1"),
    ],
    ids=str,
)
def test_which_proxy_the_environment_means(
    variables: dict[str, str], ws: str, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (shown(proxy_for(WSS)), shown(proxy_for(HTTPS))) == (ws, rest)


@pytest.mark.parametrize(
    "value", ["http://", "http://p:x", "http://p:99999", "http://[::1", "quic://p:1", "socks://p:1"]
)
def test_proxies_that_cannot_be_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(BadProxy, match="ALL_PROXY="):
        proxy_for(HTTPS)

"""The embedded server is a real one: it starts, answers, forgets or keeps its data, and ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.local import embedded_redis, ports
from tools.local.embedded_redis import EmbeddedRedis, RedisUnavailable

OwnServer = Callable[..., EmbeddedRedis]


def impatient(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis(port=server.port, socket_timeout=0.1, retry=Retry(NoBackoff(), 0))


def test_an_orderly_stop_without_save_starts_empty(own_redis_server: OwnServer) -> None:
    server = own_redis_server()
    with server.client() as client:
        client.set("key", "value")
    server.stop(save=True)
    server.start()
    with server.client() as client:
        assert client.get("key") == b"value"
    server.stop()
    server.start()
    with server.client() as client:
        assert client.get("key") is None


@pytest.mark.parametrize(("append_only", "left"), [(True, b"value"), (False, None)])
def test_a_killed_server_keeps_only_what_it_wrote_to_disk(
    own_redis_server: OwnServer, append_only: bool, left: bytes | None
) -> None:
    server = own_redis_server(append_only=append_only)
    with server.client() as client:
        client.set("key", "value")
    server.kill()
    with impatient(server) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    server.start()
    with server.client() as client:
        assert client.get("key") == left


def test_a_paused_server_does_not_answer_until_resumed(own_redis_server: OwnServer) -> None:
    server = own_redis_server()
    server.pause()
    with impatient(server) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    server.resume()
    with server.client() as client:
        assert client.ping()


def test_it_listens_on_loopback_only(own_redis_server: OwnServer) -> None:
    server = own_redis_server()
    with server.client() as client:
        assert client.config_get("bind")["bind"] == ports.LOOPBACK


def test_closing_removes_its_files(own_redis_server: OwnServer) -> None:
    server = own_redis_server(append_only=True)
    with server.client() as client:
        folder = Path(client.config_get("dir")["dir"])
    assert folder.is_dir()
    server.close()
    assert not folder.exists()


def test_a_port_in_use_is_a_clear_error(own_redis_server: OwnServer) -> None:
    taken = own_redis_server()
    with pytest.raises(RedisUnavailable, match=r"log ends: (.|\n)*[Aa]ddress already in use"):
        own_redis_server(taken.port)


def test_a_server_on_the_path_is_preferred(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("valkey-server", "redis-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert embedded_redis.find_server() == str(tmp_path / name)


def test_without_a_server_on_the_path_it_is_the_one_beside_python_or_a_line_tells_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(embedded_redis, "_BESIDE_PYTHON", str(tmp_path))
    with pytest.raises(RedisUnavailable, match="apt-get install redis-server"):
        embedded_redis.find_server()
    (tmp_path / "redis-server").touch(mode=0o755)
    assert embedded_redis.find_server() == str(tmp_path / "redis-server")

"""Redis URLs: those accepted mean the same to everyone who uses them, and no password is shown."""

from __future__ import annotations

from ssl import VerifyMode

import pytest
import redis
from flower.utils.broker import Broker as FlowerBroker
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import Connection
from kombu.utils.url import parse_url

from tickfence.redis_access.address import (
    Cluster,
    Sentinel,
    check_server,
    kombu_address,
    kombu_tls,
    masked,
    parse_cluster,
    parse_sentinel,
)

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("url", "host", "port", "db"),
    [
        ("redis://localhost", "localhost", 6379, 0),
        ("redis://localhost/", "localhost", 6379, 0),
        ("redis://redis_1.example:7000/3", "redis_1.example", 7000, 3),
        ("redis://127.0.0.1:7000", "127.0.0.1", 7000, 0),
        ("redis://[::1]:7000/2", "::1", 7000, 2),
        ("rediss://ann:x@host:7000/2", "host", 7000, 2),
    ],
)
def test_an_accepted_server_is_the_same_to_redis_py_and_to_kombu(url: str, host: str, port: int, db: int) -> None:
    check_server(url)
    data = redis.ConnectionPool.from_url(url).connection_kwargs
    assert (data["host"], data.get("port", 6379), data.get("db", 0)) == (host, port, db)
    broker = parse_url(kombu_address(url)[0])
    assert (broker["hostname"], broker["port"] or 6379, int(broker["virtual_host"] or 0)) == (host, port, db)


@pytest.mark.parametrize(
    "url",
    [
        "redis:///0",
        "redis://localhost:abc/0",
        "redis://localhost:0/0",
        "redis://localhost:65536/0",
        "redis://localhost/zero",
        "redis://localhost/-1",
        "redis://localhost/0/1",
        "redis://localhost/0 ",
        "redis://localhost/0#1",
        "redis://a:1,b:2/0",
        "redis://a;b/0",
        "redis://:p/q@localhost/0",
        "redis://:p[q@localhost/0",
        "redis://localhost?db=1",
        "redis://localhost?ssl_cert_reqs=none",
        "rediss://localhost?ssl_cert_reqs=CERT_NONE",
        "rediss://localhost?ssl_ciphers=x",
    ],
)
def test_a_server_s_url_that_not_everyone_understands_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must look like rediss?://\[user:password@\]host\[:port\]\[/db\]"):
        check_server(url)


def test_tls_options_that_both_understand_are_accepted() -> None:
    check_server("rediss://localhost?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem&ssl_check_hostname=false")


def test_a_sentinel_url() -> None:
    assert parse_sentinel("redis+sentinel://ann:p%40ss@a:1,b:2/mymaster/3") == Sentinel(
        (("a", 1), ("b", 2)), "mymaster", 3, "ann", "p@ss"
    )
    assert parse_sentinel("sentinel://[::1]:1/mymaster") == Sentinel((("::1", 1),), "mymaster", 0, None, None)
    assert parse_sentinel("redis://a:1/0") is None


def test_a_cluster_url() -> None:
    assert parse_cluster("redis+cluster://ann:p%40ss@a:1,b:2") == Cluster((("a", 1), ("b", 2)), "ann", "p@ss")
    assert parse_cluster("redis://a:1/0") is None


@pytest.mark.parametrize(
    "rest", ["a/m", "a:0/m", "a:65536/m", "a:x/m", "a:1,/m", "a:1", "a:1/m/x", "a:1/m/1/2", "a:1/m?db=1", ":p[q@a:1/m"]
)
def test_a_malformed_sentinel_url_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^must look like redis\+sentinel://"):
        parse_sentinel(f"redis+sentinel://{rest}")


@pytest.mark.parametrize("rest", ["a", "a:0", "a:65536", "a:x", "a:1,", "a:1/0", "a:1?db=1", ":p[q@a:1"])
def test_a_malformed_cluster_url_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"^must look like redis\+cluster://"):
        parse_cluster(f"redis+cluster://{rest}")


@given(user=st.none() | SECRETS, password=st.none() | SECRETS)
@example(user=None, password="p@ss")
@example(user="ann", password=None)
@example(user="a:n/n", password="p;s?s#")
def test_kombu_is_given_the_same_account(user: str | None, password: str | None) -> None:
    quoted = "".join(f"%{ord(c):02X}" for c in user or ""), "".join(f"%{ord(c):02X}" for c in password or "")
    address, _ = kombu_address(f"redis+sentinel://{quoted[0]}:{quoted[1]}@[::1]:1,b:2/mymaster/3")
    for url, (host, port) in zip(Connection(address).alt, [("::1", 1), ("b", 2)], strict=True):
        parts = parse_url(url)
        assert (parts["hostname"], parts["port"], parts["virtual_host"]) == (host, port, "3")
        assert (parts["userid"], parts["password"]) == (user, password)


def test_kombu_does_not_take_a_password_for_two_servers() -> None:
    connection = Connection(kombu_address("redis://:a;b@localhost:7000/1")[0])
    assert (connection.hostname, connection.port, connection.password) == ("localhost", 7000, "a;b")


def test_kombu_does_not_ask_a_dead_sentinel_twice() -> None:
    _, options = kombu_address("redis+sentinel://a:1,[::1]:2/mymaster")
    assert options["master_name"] == "mymaster"
    asking = options["sentinel_kwargs"]
    assert isinstance(asking, dict)
    assert asking["retry"].get_retries() == 0
    assert asking["socket_timeout"] == asking["socket_connect_timeout"] == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://ann@localhost:6379/0", "redis://ann@localhost:6379/0"),
        ("redis://:secret@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("redis+sentinel://ann:se@cret@a:1,b:2/m", "redis+sentinel://ann:***@a:1,b:2/m"),
        ("redis+sentinel://ann:secret@a:1,bob:secret@b:2/m", "redis+sentinel://ann:***@b:2/m"),
        ("redis://:se/cret#?@localhost", "redis://:***@localhost"),
        ("redis://:se\ncret@localhost", "redis://:***@localhost"),
        ("redis:/:secret@localhost", "redis:***@localhost"),
        (":secret@localhost:6379", ":***@localhost:6379"),
        ("redis://localhost?password=secret&db=1", "redis://localhost?password=***&db=1"),
        ("localhost", "localhost"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_flower_uses_the_tls_options_of_the_url() -> None:
    url = "rediss://ann:secret@localhost:7000/3?ssl_ca_certs=/ca.pem&ssl_check_hostname=false"
    pool = FlowerBroker(url, broker_options={}, broker_use_ssl=kombu_tls(url)).redis.connection_pool
    options = pool.connection_kwargs
    assert options["ssl_ca_certs"] == "/ca.pem"
    assert options["ssl_check_hostname"] is False
    assert options["ssl_cert_reqs"] == VerifyMode.CERT_REQUIRED


def test_a_url_without_tls_has_no_options() -> None:
    assert kombu_tls("redis://localhost:7000/3") is None
    assert kombu_tls("redis+sentinel://localhost:26379/mymaster/1") is None

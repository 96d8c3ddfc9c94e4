"""AMQP URLs: those accepted mean to kombu and py-amqp what they say, and TLS is checked unless one says otherwise."""

from __future__ import annotations

import ssl

import pytest
from amqp.transport import to_host_port
from hypothesis import example, given
from hypothesis import strategies as st
from kombu import Connection

from tickfence.amqp_address import parse_amqp
from tickfence.redis_access.address import masked

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#[]@%"), min_size=1)


@pytest.mark.parametrize(
    ("url", "host", "port", "vhost"),
    [
        ("amqp://rabbit", "rabbit", 5672, "/"),
        ("amqp://rabbit/", "rabbit", 5672, "/"),
        ("amqp://rabbit//", "rabbit", 5672, "/"),
        ("amqp://rabbit/%2F", "rabbit", 5672, "/"),
        ("amqp://127.0.0.1:7000/ticks", "127.0.0.1", 7000, "ticks"),
        ("amqp://ann:x@[::1]:7000/ticks", "::1", 7000, "ticks"),
        ("amqps://rabbit", "rabbit", 5671, "/"),
        ("amqps://rabbit:7000/a;b?ssl_check_hostname=false", "rabbit", 7000, "a;b"),
    ],
)
def test_an_accepted_server_is_the_one_that_is_connected_to(url: str, host: str, port: int, vhost: str) -> None:
    parsed = parse_amqp(url)
    assert parsed is not None
    assert to_host_port(parsed.host) == (host, port)
    known = Connection(parsed.url)
    assert known.transport.driver_type == "amqp"
    assert (known.virtual_host or "/", known.alt) == (vhost, [])  # one server, not several


@given(SECRETS)
@example("p;q:r&s=t")
def test_a_password_arrives_as_it_stands_and_is_not_shown(password: str) -> None:
    url = f"amqp://ann:{password}@rabbit/ticks"
    parsed = parse_amqp(url)
    assert parsed is not None
    known = Connection(parsed.url)
    assert (known.userid, known.password, known.hostname) == ("ann", password, "rabbit")
    assert masked(url) == "amqp://ann:***@rabbit/ticks"


@pytest.mark.parametrize(
    "url",
    [
        "amqp:///ticks",
        "amqp://rabbit:abc",
        "amqp://rabbit:0",
        "amqp://rabbit:65536",
        "amqp://a:1,b:2/ticks",
        "amqp://a;amqp://b",
        "amqp://rabbit/a/b",
        "amqp://rabbit/ticks#1",
        "amqp://rabbit?heartbeat=1",
        "amqp://rabbit?ssl_cert_reqs=none",
        "amqp://:p[q@rabbit",
        "amqps://rabbit?ssl_cert_reqs=CERT_NONE",
        "amqps://rabbit?heartbeat=1",
        "amqps://rabbit?x",
    ],
)
def test_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must look like amqps?://\[user:password@\]host\[:port\]\[/vhost\]"):
        parse_amqp(url)


def test_another_scheme_is_not_amqp() -> None:
    assert parse_amqp("redis://localhost") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "rabbit"}),
        ("?ssl_cert_reqs=none", {"cert_reqs": ssl.CERT_NONE}),
        ("?ssl_check_hostname=false", {"cert_reqs": ssl.CERT_REQUIRED}),
        (
            "?ssl_ca_certs=%2Fca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            {
                "cert_reqs": ssl.CERT_REQUIRED,
                "server_hostname": "rabbit",
                "ca_certs": "/ca.pem",
                "certfile": "/c.pem",
                "keyfile": "/k.pem",
            },
        ),
    ],
)
def test_tls_is_checked_unless_options_say_otherwise(options: str, expected: dict[str, object]) -> None:
    parsed = parse_amqp(f"amqps://rabbit/ticks{options}")
    assert parsed is not None
    assert parsed.tls == expected
    assert parsed.url == "amqps://rabbit/ticks"


def test_without_tls_there_is_none() -> None:
    parsed = parse_amqp("amqp://rabbit")
    assert parsed is not None
    assert parsed.tls is None

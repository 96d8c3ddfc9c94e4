"""All forms of Redis, and a user there that may only read."""

from __future__ import annotations

from collections.abc import Callable

import redis

from tests.redis_groups import ClusterGroup, SentinelGroup
from tests.web.reporting import Cluster
from tests.web.web_process import WebProcess
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

SYMBOLS = [f"S{number}USDT" for number in range(20)]
PATIENT = {"NT_REPORT_PERIOD_MS": 20_000, "NT_SLOW_PERIOD_MS": 20_000, "NT_LEASE_TTL_MS": 40_000}
"""Nobody rewrites the reports here; by these settings they stay fresh."""
ADDRESSES = ("/reports", f"/reports/{SYMBOLS[0]}", "/symbols", "/nodes", "/events", f"/prices/{SYMBOLS[0]}", "/readyz")


def fill(client: redis.Redis) -> Cluster:
    cluster = Cluster(client)
    cluster.assign(dict.fromkeys(SYMBOLS, "node-001"))
    cluster.node()
    cluster.lead()
    for symbol in SYMBOLS:
        cluster.report(symbol)
    return cluster


def answers_all(web: WebProcess) -> None:
    for path in ADDRESSES:
        answer = web.get(path)
        assert answer.status == 200, (path, answer.body)
    assert web.get("/reports").json["missing"] == []
    assert [report["symbol"] for report in web.get("/reports").json["reports"]] == sorted(SYMBOLS)


def test_a_cluster_and_the_death_of_one_of_its_masters() -> None:
    with ClusterGroup(replica=True) as group, WebProcess(group.url, **PATIENT).wait_until_up() as web:
        cluster = fill(group.client)
        answers_all(web)
        with web.stream() as stream:
            assert len(stream.until("state")["symbols"]) == len(SYMBOLS)
            cluster.report(SYMBOLS[3], last_price=7.5)
            assert any(row["price"] == 7.5 for row in stream.until("rows")["rows"])
            group.masters[0].kill()
            stream.until("outage")
            stream.until("state")
        assert web.get("/nodes").status == 200


def test_sentinel_names_another_master() -> None:
    with SentinelGroup() as group, WebProcess(group.url(), **PATIENT).wait_until_up() as web:
        fill(group.first.client)
        answers_all(web)
        with web.stream() as stream:
            stream.until("state")
            group.first.kill()
            stream.until("outage")
            assert len(stream.until("state")["symbols"]) == len(SYMBOLS)
        group.wait_for_promotion()
        Cluster(group.second.client).report(SYMBOLS[0], last_price=7.5)
        assert web.get(f"/reports/{SYMBOLS[0]}").json["last_price"] == 7.5


def test_a_restart_of_redis_that_nobody_saw_costs_no_request(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()
    with WebProcess(server.url()).wait_until_up() as web:
        assert web.get("/symbols").status == 200
        server.kill()
        server.start()
        assert web.get("/symbols").status == 200


def test_a_user_who_may_only_read_these_keys_is_enough(own_redis_server: Callable[..., EmbeddedRedis]) -> None:
    server = own_redis_server()
    with server.client() as client:
        rights = ("~report:*", "~md:*", "~nt:*", "+@read", "+@connection", "+time")
        client.execute_command("ACL", "SETUSER", "web", "on", ">secret", "resetkeys", "-@all", *rights)
        fill(client)
        url = f"redis://web:secret@{ports.LOOPBACK}:{server.port}/0"
        with WebProcess(url, **PATIENT).wait_until_up() as web, web.stream() as stream:
            answers_all(web)
            stream.until("state")
            client.execute_command("ACL", "SETUSER", "web", "resetkeys")
            answer = web.get("/nodes")
            assert answer.status == 503
            assert answer.json["detail"].startswith("Redis refused to be read: ")
            assert "secret" not in web.log_text()

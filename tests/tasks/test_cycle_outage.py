"""Cycles of a real node whose Redis server goes away, or becomes a replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tasks.cycles import FAST
from tests.processes import wait_until
from tests.tasks.conftest import Apart
from tests.tasks.cycle_runs import KEYS, Counted, S, before_write, lease, report, run
from tests.tasks.market import Market
from tools.local.embedded_redis import EmbeddedRedis


def test_while_redis_is_away_a_cycle_is_lost_and_the_next_one_after_is_not(apart: Apart) -> None:
    server, one = apart
    failed = Counted("nt_redis_errors_total", operation="cycle")
    server.stop(save=True)
    run(one)
    assert failed() == 1
    server.start()
    run(one)
    assert failed() == 1
    with server.client() as client:
        held = lease(client)
        assert int(held["seq"]) == int(held["token"]) + 2
        assert report(client)["writer"]["writerToken"] == int(held["token"])


@pytest.mark.parametrize("in_step", [True, False])
def test_a_master_that_became_a_replica_is_an_outage_and_left(
    apart: Apart, own_redis_server: Callable[..., EmbeddedRedis], caplog: pytest.LogCaptureFixture, in_step: bool
) -> None:
    """In step with a new master that has nothing, or, while that cannot be reached, with all its data still."""
    (server, one), other = apart, own_redis_server()
    with server.client() as client:
        failed = Counted("nt_redis_errors_total", operation="cycle")
        withheld = Counted("nt_reports_withheld_total", reason="bad lease")
        if not in_step:
            other.kill()
        client.replicaof("127.0.0.1", other.port)
        link = "up" if in_step else "down"
        wait_until(lambda: client.info("replication")["master_link_status"] == link, "the replica's link")
        caplog.clear()
        for number in range(1, 4):
            run(one)
            assert failed() == number
            wait_until(lambda: not _clients(client, "work:node-001"), "the connection's end")
        assert withheld() == 0
        assert [record.levelname for record in caplog.records].count("WARNING") == 1
        assert "cannot reach the data plane" in caplog.text
        assert "ERROR" not in [record.levelname for record in caplog.records]
        client.replicaof("NO", "ONE")
        Market(client, S).open()
        client.delete(KEYS.report(S))
        run(one)
        run(one)
        assert report(client)["writer"]["writerToken"] == int(lease(client)["token"])
        assert failed() == 3


def _clients(client: redis.Redis, name: str) -> list[Any]:
    return [one for one in client.client_list() if one["name"] == name]


def test_the_number_of_a_write_whose_outcome_is_unknown_is_not_used_again(apart: Apart) -> None:
    """Both tries fail, and Redis may yet find them in its sockets."""
    server, one = apart
    seq = one.symbols[S].lease.seq
    run(one, cycle=before_write(FAST, lambda: server.stop(save=True)))
    server.start()
    run(one)
    assert one.symbols[S].lease.seq == seq + 2
    with server.client() as client:
        assert int(lease(client)["seq"]) == seq + 2

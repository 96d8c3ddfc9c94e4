"""Data plane on a Redis Cluster of three masters, the broker on a plain Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.cluster import key_slot

from tests.e2e.observer import tokens, writers
from tests.e2e.roles_at import SYMBOLS, RolesAt
from tests.redis_groups import ClusterGroup
from tickfence.keys import Keys
from tools.local.embedded_redis import EmbeddedRedis

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(90)]


def test_reports_flow_while_slots_migrate_and_a_killed_node_is_noticed_by_its_connection(
    tmp_path: Path, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    outlasts = {"NT_HEARTBEAT_TTL_MS": "60000"}  # all that this test waits for
    with ClusterGroup() as group, RolesAt(group.url, broker.url(1), tmp_path, variables=outlasts) as roles:
        assert {group.master_of(symbol) for symbol in SYMBOLS} == {0, 1, 2}
        roles.wait_for_reports(timeout_s=30)
        keys, symbol = Keys(), SYMBOLS[0]
        for key in (keys.book(symbol), keys.report(symbol), keys.dispatcher, keys.node("node-001")):
            slot = key_slot(key.encode())
            group.move_slot(slot, group.masters[(group.holder(slot) + 1) % 3], pause_s=0.2)
            arrived = time.monotonic()
            roles.wait_for_reports()
            print(f"{time.monotonic() - arrived:.2f} s from the arrival of the slot of {key} to six reports")
            assert time.monotonic() - arrived < 2
        before = roles.wait_for_reports()
        assert roles.conflicts() == 0
        took_s = roles.wait_for_moves_from_a_hung_node()
        print(f"{took_s:.2f} s from the hang of a node to six reports of the other node")
        assert took_s < 5
        before = roles.wait_for_reports()
        orphans = [symbol for symbol, node in writers(before).items() if node == "node-001"]
        roles.kill("node-001")
        after = roles.wait_for_reports(("node-002",))
        assert all(tokens(after)[symbol] > tokens(before)[symbol] for symbol in orphans)
        assert roles.conflicts(("node-002",)) == 0


def test_beat_and_nodes_live_through_ten_seconds_without_a_node_of_the_cluster(
    tmp_path: Path, own_redis_server: Callable[..., EmbeddedRedis]
) -> None:
    broker = own_redis_server()
    with ClusterGroup() as group, RolesAt(group.url, broker.url(1), tmp_path) as roles:
        roles.wait_for_reports(timeout_s=30)
        with group.frozen():
            time.sleep(10)
        back = time.monotonic()
        roles.wait_for_reports()
        print(f"{time.monotonic() - back:.2f} s from the cluster's return to six reports of two nodes")
        assert time.monotonic() - back < 2
        # A node whose heartbeats have ended has its symbols taken away within their TTL of 1 s.
        time.sleep(3)
        roles.wait_for_reports(timeout_s=2)
        assert roles.ended() == []

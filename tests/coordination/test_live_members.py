"""Which processes of a group live."""

from __future__ import annotations

import pytest

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.live_members import live_members
from tickfence.coordination.owner import Owner
from tickfence.coordination.registration import Registration
from tickfence.keys import Group, Keys
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()


@pytest.mark.parametrize("group", [KEYS.recorder_group, KEYS.batch_worker_group, KEYS.node_group])
def test_a_group_has_the_members_that_registered_in_it(redis_server: EmbeddedRedis, group: Group) -> None:
    client = redis_server.client()
    one = Registration(
        redis_server.url(),
        group,
        Owner.start("one"),
        {"weight": 1},
        interval_ms=50,
        ttl_ms=500,
        clock=ServerClock(),
        on_replaced=lambda _: None,
    )
    one.register()
    assert live_members(client, group, 500) == []
    one.announce()
    try:
        assert [record.owner for record in live_members(client, group, 500)] == [one.owner]
        others = {KEYS.recorder_group, KEYS.batch_worker_group, KEYS.node_group} - {group}
        assert all(live_members(client, other, 500) == [] for other in others)
        client.zadd(group.live, {"silent": 1})
        assert [record.owner for record in live_members(client, group, 500)] == [one.owner]
    finally:
        one.leave()
    assert live_members(client, group, 500) == []

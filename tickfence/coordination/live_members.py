"""Which processes of a group live now, asked for now and then: batch workers, recorders."""

from __future__ import annotations

from typing import Any

from tickfence.coordination.membership import NodeRecord, is_alive, parse_node
from tickfence.keys import Group


def live_members(client: Any, group: Group, ttl_ms: int) -> list[NodeRecord]:
    """Return the records of the processes whose last heartbeat is younger than ``ttl_ms``, by id.

    The leading beat judges nodes by more than that: see :class:`tickfence.coordination.membership.Membership`.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached.
    """
    seconds, microseconds = client.time()
    now_ms = seconds * 1000 + microseconds // 1000
    heartbeats = client.zrange(group.live, 0, -1, withscores=True)
    # One that is further ahead came while the server's clock was wrong.
    near = [(id_, int(at)) for id_, at in heartbeats if int(at) - now_ms < ttl_ms]
    alive = sorted(id_.decode() for id_, at in near if is_alive(at, ttl_ms=ttl_ms, now_ms=now_ms))
    records = (parse_node(id_, client.hgetall(group.record(id_))) for id_ in alive)
    return [record for record in records if record is not None and not record.left]

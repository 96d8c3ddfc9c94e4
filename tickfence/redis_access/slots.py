"""Which master of a Redis Cluster holds which key, as one of its nodes tells.

Source: https://redis.io/docs/latest/commands/cluster-slots/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.crc import key_slot

from tickfence.redis_access.address import Address
from tickfence.redis_access.command import checked
from tickfence.redis_access.raw_connection import RawConnection


async def read_masters(node: RawConnection, host: str, keys: Sequence[str]) -> list[Address]:
    """The master of each key.

    Args:
        node: a connection to any node of the cluster.
        host: where it leads; the node may leave out its own.
        keys: what to look up.

    Raises:
        redis.exceptions.SlotNotCoveredError: the node knows no master for one of the keys.
        redis.exceptions.RedisError, OSError: the node does not answer, or is not a node of a cluster.
    """
    command: Any = ("CLUSTER", "SLOTS")
    [reply] = await node.exchange(pack_command(command), 1)
    masters = [
        (range(first, last + 1), ((master[0] or b"").decode() or host, int(master[1])))
        for first, last, master, *_ in checked(reply)
    ]
    found = []
    for key in keys:
        slot = key_slot(key.encode())
        address = next((address for slots, address in masters if slot in slots), None)
        if address is None:
            raise exceptions.SlotNotCoveredError(f"no master holds slot {slot}, which {key} is in")
        found.append(address)
    return found

"""Another Redis server becomes the master."""

from __future__ import annotations

import time
from collections.abc import Iterable

from tools.chaos.checker import Violation
from tools.chaos.history import Astray, Injected, Record, Take
from tools.chaos.kind import TWO_PERIODS_MS, Kind
from tools.chaos.scene import Scene
from tools.chaos.topology import Topology
from tools.local.ports import LOOPBACK

BESIDE = ("node-kill", "node-freeze", "beat-kill")
"""What else happens to a stack behind Sentinel, so that a failover meets what others left behind."""


def redis_failover(scene: Scene) -> None:
    group = scene.lab.group
    master, replica = group.master(), group.replica()
    lost = scene.chance.choice((0.0, scene.chance.uniform(0.1, 3.0)))
    if lost:
        group.cut_off(replica)
        time.sleep(lost)
    at = scene.lab.kill(master)
    fault = _promoted(scene, "redis-failover", at, replica, f"the last {lost:.1f} s lost" if lost else "")
    scene.recovered(fault, steady_s=2.0)
    joining = scene.hurt("redis-join", scene.lab.start_role(master), scene.symbols, victim=master)
    group.await_complete()
    scene.end(joining)
    scene.found += written_to_the_old_master(scene.recorder.records, since=fault.counts_from)


def redis_switch(scene: Scene) -> None:
    group = scene.lab.group
    replica = group.replica()
    fault = _promoted(scene, "redis-switch", group.switch(), replica)
    scene.recovered(fault, steady_s=2.0)
    group.await_complete()


def _promoted(scene: Scene, kind: str, at: float, replica: str, note: str = "") -> Injected:
    promoted = scene.lab.group.await_promotion(replica)
    scene.recorder.promoted(LOOPBACK, scene.lab.group.where.servers[replica])
    note = ", ".join(filter(None, (f"promoted after {promoted - at:.1f} s", note)))
    return scene.hurt(kind, at, scene.symbols, victim=replica, counts_from=promoted, note=note)


def written_to_the_old_master(records: Iterable[Record], since: float) -> list[Violation]:
    """Every write that a server accepted which had been the master. One that was killed and comes back is empty, and a
    master for some seconds, until Sentinel tells it otherwise: whoever asks Sentinel does not find it."""
    found = []
    for record in records:
        if isinstance(record, Astray) and record.time >= since:
            what = "a lease" if isinstance(record.what, Take) else "a write"
            detail = f"{what} of {record.what.owner} on {record.server}, which was not the master any more"
            found.append(Violation(record.time, record.what.symbol, "old master", detail))
    return found


KINDS = (
    Kind(
        "redis-failover",
        2000,
        redis_failover,
        "SIGKILL of the master; Sentinel promotes the replica, which may lack the last 0.1-3 s",
        topology=Topology.SENTINEL,
    ),
    Kind(
        "redis-switch",
        None,
        redis_switch,
        "SENTINEL FAILOVER while the master is well",
        topology=Topology.SENTINEL,
    ),
    Kind("redis-join", TWO_PERIODS_MS, None, "the old master starts again, and becomes a replica"),
)

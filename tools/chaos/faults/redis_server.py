"""Faults of Redis: its server restarts, loses data, freezes, or is replaced by its replica."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable

from tools.chaos.checker import Violation
from tools.chaos.deployment import Topology
from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.history import Acquisition, Appended, Injected, Record, WrittenToOldMaster
from tools.chaos.injector import FaultKind, Injector
from tools.local.ports import LOOPBACK

ALSO_BEHIND_SENTINEL = ("node-kill", "node-freeze", "beat-kill")
"""Other kinds that are injected behind Sentinel too, so that a failover happens among their effects."""


def _stop_redis(injector: Injector, kind: str, seconds: float, *, keep: bool) -> None:
    at = injector.stack.stop_redis(keep=keep)
    time.sleep(seconds)
    back = injector.stack.start_redis()
    fault = injector.begin_fault(kind, at, injector.symbols, counts_from=back, note=f"away {back - at:.1f} s")
    injector.await_recovery(fault)


def _redis_restart(injector: Injector) -> None:
    _stop_redis(injector, "redis-restart", injector.rng.uniform(0.0, 3.0), keep=True)


def _redis_empty(injector: Injector) -> None:
    _stop_redis(injector, "redis-empty", injector.rng.uniform(0.0, 3.0), keep=False)


def _redis_crash(injector: Injector) -> None:
    with injector.stack.client() as client:
        client.save()
    lost = injector.rng.uniform(0.1, 3.0)
    time.sleep(lost)
    at = injector.stack.kill("redis")
    back = injector.stack.start_redis()
    fault = injector.begin_fault(
        "redis-crash", at, injector.symbols, counts_from=back, note=f"the last {lost:.1f} s lost"
    )
    injector.await_recovery(fault, steady_s=2.0)


def _redis_away(injector: Injector) -> None:
    _stop_redis(injector, "redis-away", injector.rng.uniform(5.0, 15.0), keep=injector.rng.random() < 0.5)


def _redis_flush(injector: Injector) -> None:
    with injector.stack.client() as client:
        at = time.time()
        client.flushall()
    injector.await_recovery(injector.begin_fault("redis-flush", at, injector.symbols), steady_s=2.0)


def _redis_freeze(injector: Injector) -> None:
    at = injector.stack.signal("redis", signal.SIGSTOP)
    time.sleep(injector.rng.uniform(0.5, 4.0))
    back = injector.stack.signal("redis", signal.SIGCONT)
    fault = injector.begin_fault("redis-freeze", at, injector.symbols, counts_from=back, note=f"{back - at:.1f} s")
    injector.await_recovery(fault, steady_s=2.0)


def _redis_failover(injector: Injector) -> None:
    group = injector.stack.group
    master, replica = group.master(), group.replica()
    lost = injector.rng.choice((0.0, injector.rng.uniform(0.1, 3.0)))
    if lost:
        group.cut_off(replica)
        time.sleep(lost)
    at = injector.stack.kill(master)
    fault = _promoted(injector, "redis-failover", at, replica, f"the last {lost:.1f} s lost" if lost else "")
    injector.await_recovery(fault, steady_s=2.0)
    joining = injector.begin_fault("redis-join", injector.stack.start_role(master), injector.symbols, victim=master)
    group.await_complete()
    injector.end_fault(joining)
    injector.violations += written_to_the_old_master(injector.recorder.records, since=fault.counts_from)


def _redis_switch(injector: Injector) -> None:
    group = injector.stack.group
    replica = group.replica()
    fault = _promoted(injector, "redis-switch", group.switch(), replica)
    injector.await_recovery(fault, steady_s=2.0)
    group.await_complete()


def _promoted(injector: Injector, kind: str, at: float, replica: str, note: str = "") -> Injected:
    promoted = injector.stack.group.await_promotion(replica)
    injector.recorder.promoted(LOOPBACK, injector.stack.group.where.servers[replica])
    note = ", ".join(filter(None, (f"promoted after {promoted - at:.1f} s", note)))
    return injector.begin_fault(kind, at, injector.symbols, victim=replica, counts_from=promoted, note=note)


def written_to_the_old_master(records: Iterable[Record], since: float) -> list[Violation]:
    """Violations: everything that an old master accepted.

    A killed master comes back empty, and is a master for some seconds, until Sentinel makes it a replica. A client that
    asks Sentinel for the master does not reach it.

    Args:
        records: the history.
        since: Unix time, s.
    """
    found = []
    for record in records:
        if not isinstance(record, WrittenToOldMaster) or isinstance(record.what, Appended):
            continue  # what an ingest appends there is lost, and readers see that
        if record.time >= since:
            what = "a lease" if isinstance(record.what, Acquisition) else "a write"
            detail = f"{what} of {record.what.owner} on {record.server}, which was no longer the master"
            found.append(Violation(record.time, record.what.symbol, "old master", detail))
    return found


KINDS = (
    FaultKind("redis-restart", 2000, _redis_restart, "Redis restarted with its data"),
    FaultKind("redis-empty", 2000, _redis_empty, "Redis restarted empty"),
    FaultKind("redis-crash", 2000, _redis_crash, "SIGKILL of Redis, which comes back without the last 0.1-3 s"),
    FaultKind("redis-flush", 2000, _redis_flush, "FLUSHALL"),
    FaultKind("redis-away", 2000, _redis_away, "Redis away for 5-15 s, its data kept or not"),
    FaultKind("redis-freeze", 2000, _redis_freeze, "SIGSTOP of Redis, 0.5-4 s"),
    FaultKind(
        "redis-failover",
        2000,
        _redis_failover,
        "SIGKILL of the master; Sentinel promotes the replica, which may lack the last 0.1-3 s",
        topology=Topology.SENTINEL,
    ),
    FaultKind("redis-switch", 2000, _redis_switch, "SENTINEL FAILOVER of a healthy master", topology=Topology.SENTINEL),
    FaultKind("redis-join", TWO_PERIODS_MS, None, "the old master starts again and becomes a replica"),
)

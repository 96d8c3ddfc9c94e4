"""Faults of processes: nodes, beats and ingests that end, are restarted or freeze; and no fault at all."""

from __future__ import annotations

import signal
import time

from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.injector import MAX_FREEZE_S, MIN_FREEZE_S, FaultKind, Injector
from tools.chaos.mid_cycle import stop_mid_cycle
from tools.local.roles import BEATS, INGESTS, NODES

FROZEN_WRITER_S = 10.0
FLAPPING_S, FLAP_EVERY_S = 60.0, 3.0
WRITER_LOST_MS = 1000


def _nothing(injector: Injector) -> None:
    injector.await_recovery(injector.begin_fault("nothing", time.time(), injector.symbols), steady_s=5.0)


def _node_kill(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    at = injector.stack.signal(node, signal.SIGKILL)
    injector.await_recovery(injector.begin_fault("node-kill", at, symbols, victim=node, owner_gone=owner))
    injector.restart_node(node)


def _node_freeze(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    seconds = injector.rng.uniform(MIN_FREEZE_S, MAX_FREEZE_S)
    injector.freeze(node, seconds, ("node-freeze", "node-wake"), symbols, owner)


def _frozen_writer(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    injector.freeze(node, FROZEN_WRITER_S, ("frozen-writer", "node-wake"), symbols, owner, stop_mid_cycle)


def _node_term(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    at = injector.stack.signal(node, signal.SIGTERM)
    injector.await_recovery(injector.begin_fault("node-term", at, symbols, victim=node), but_not=owner)
    ending = injector.begin_fault("node-end", time.time(), symbols, victim=node)
    injector.stack.await_end(node)
    injector.await_recovery(ending)
    injector.restart_node(node)


def _node_flap(injector: Injector) -> None:
    name = injector.rng.choice(NODES)
    end = time.monotonic() + FLAPPING_S
    while time.monotonic() < end:
        again = time.monotonic() + FLAP_EVERY_S
        number = injector.rng.choice((signal.SIGKILL, signal.SIGTERM))
        _, owner, symbols = injector.node(name)
        others = [symbol for symbol in injector.symbols if symbol not in symbols]
        at = injector.stack.signal(name, number)
        others_fault = injector.begin_fault("flap-others", at, others, victim=name)
        gone = owner if number is signal.SIGKILL else ""
        fault = injector.begin_fault("node-flap", at, symbols, victim=name, owner_gone=gone, note=number.name)
        injector.await_recovery(fault, but_not=owner)
        injector.end_fault(others_fault)
        joining = injector.restart_node(name)
        time.sleep(max(0.0, again - time.monotonic()))
        injector.end_fault(joining)


def _end_beat(injector: Injector, kind: str, beat: str, number: signal.Signals) -> None:
    """End a beat, and start it again after the recovery."""
    at = injector.stack.signal(beat, number)
    injector.await_recovery(injector.begin_fault(kind, at, injector.symbols, victim=beat), steady_s=2.0)
    injector.begin_fault("beat-join", injector.stack.start_role(beat), injector.symbols, victim=beat)
    time.sleep(3.0)


def _leader_kill(injector: Injector) -> None:
    _end_beat(injector, "beat-kill", injector.stack.leader(), signal.SIGKILL)


def _leader_term(injector: Injector) -> None:
    _end_beat(injector, "beat-term", injector.stack.leader(), signal.SIGTERM)


def _leader_freeze(injector: Injector) -> None:
    beat = injector.stack.leader()
    seconds = injector.rng.uniform(MIN_FREEZE_S, MAX_FREEZE_S)
    injector.freeze(beat, seconds, ("beat-freeze", "beat-wake"), injector.symbols)


def _standby(injector: Injector) -> str:
    leader = injector.stack.leader()
    return next(name for name in BEATS if name != leader)


def _standby_kill(injector: Injector) -> None:
    _end_beat(injector, "standby-kill", _standby(injector), signal.SIGKILL)


def _standby_freeze(injector: Injector) -> None:
    seconds = injector.rng.uniform(MIN_FREEZE_S, MAX_FREEZE_S)
    injector.freeze(_standby(injector), seconds, ("standby-freeze", "beat-wake"), injector.symbols)


def _ingest_kill(injector: Injector) -> None:
    role = injector.rng.choice(INGESTS)
    with injector.writer_lost(role):
        at = injector.stack.signal(role, signal.SIGKILL)
        injector.await_recovery(injector.begin_fault("ingest-kill", at, injector.symbols, victim=role), steady_s=2.0)
    injector.check_streams(since=at)
    injector.stack.start_role(role)
    injector.await_ingests()


def _ingest_freeze(injector: Injector) -> None:
    role, seconds = injector.rng.choice(INGESTS), injector.rng.uniform(MIN_FREEZE_S, MAX_FREEZE_S)
    at = time.time()
    with injector.writer_lost(role):
        injector.freeze(role, seconds, ("ingest-freeze", "ingest-wake"), injector.symbols)
    injector.await_ingests()
    injector.check_streams(since=at)


KINDS = (
    FaultKind("nothing", TWO_PERIODS_MS, _nothing, "no fault: the gaps that other work on this machine causes"),
    FaultKind("node-kill", 500, _node_kill, "SIGKILL of a node"),
    FaultKind("node-term", 350, _node_term, "SIGTERM of a node"),
    FaultKind("node-freeze", 1500, _node_freeze, "SIGSTOP of a node, 2-10 s"),
    FaultKind("frozen-writer", 1500, _frozen_writer, "SIGSTOP of a node between reading and writing, 10 s"),
    FaultKind("node-flap", 500, _node_flap, "a node restarted every 3 s for a minute", every_nth_round=4),
    FaultKind("flap-others", TWO_PERIODS_MS, None, "the symbols of the other nodes meanwhile"),
    FaultKind("node-end", TWO_PERIODS_MS, None, "a node after SIGTERM finishes its work and ends"),
    FaultKind("node-join", TWO_PERIODS_MS, None, "a node starts again"),
    FaultKind("node-wake", TWO_PERIODS_MS, None, "a frozen node resumes"),
    FaultKind("beat-kill", 500, _leader_kill, "SIGKILL of the leading beat"),
    FaultKind("beat-term", 500, _leader_term, "SIGTERM of the leading beat"),
    FaultKind("beat-freeze", 1500, _leader_freeze, "SIGSTOP of the leading beat, 2-10 s"),
    FaultKind("standby-kill", TWO_PERIODS_MS, _standby_kill, "SIGKILL of the other beat"),
    FaultKind("standby-freeze", 1500, _standby_freeze, "SIGSTOP of the other beat, 2-10 s: with shards, it sends, too"),
    FaultKind("beat-join", TWO_PERIODS_MS, None, "a beat starts again"),
    FaultKind("beat-wake", TWO_PERIODS_MS, None, "a frozen beat resumes"),
    FaultKind("ingest-kill", TWO_PERIODS_MS, _ingest_kill, "SIGKILL of one of two ingests"),
    FaultKind("ingest-freeze", TWO_PERIODS_MS, _ingest_freeze, "SIGSTOP of one of two ingests, 2-10 s"),
    FaultKind("ingest-wake", TWO_PERIODS_MS, None, "a frozen ingest resumes"),
    FaultKind("writer-lost", WRITER_LOST_MS, None, "updates in the streams that this ingest alone has written"),
)

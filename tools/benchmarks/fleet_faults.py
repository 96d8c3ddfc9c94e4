"""Faults of a scene, and how long their symbols wait for the next dispatch and the next report."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from redis.crc import key_slot

from tools.benchmarks.dispatch_watch import Sent
from tools.benchmarks.redis_cluster import master_ranges
from tools.benchmarks.scene import Scene

WITHIN_S = 60.0

Found = dict[str, float]
"""Name -> seconds after the fault, or a number of symbols."""


def node_kill(scene: Scene, node: str) -> Found:
    """SIGKILL of a node."""
    symbols = [symbol for symbol, owner in scene.assignment().owners.items() if owner.node == node]
    at_ms = time.time() * 1000
    scene.fleet.kill(node)

    def without_node() -> bool:
        return all(owner.node != node for owner in scene.assignment().owners.values())

    generation = scene.generation()
    scene.wait(lambda: scene.generation() != generation and without_node(), "an assignment without it", WITHIN_S)
    published = time.time() - at_ms / 1000
    dispatched = _next_dispatches(
        scene, symbols, lambda one: one.at_ms >= at_ms and not one.owner.startswith(f"{node}/")
    )
    reported = _next_reports(scene, symbols, at_ms)
    return {"symbols": len(symbols), "published": published, **_after("dispatch", dispatched, at_ms), **reported}


def leader_kill(scene: Scene) -> Found:
    """SIGKILL of the beat that leads. All symbols wait for the next one."""
    leader, term = scene.leader()
    at_ms = time.time() * 1000
    scene.fleet.kill(leader)
    dispatched = _next_dispatches(scene, scene.symbols, lambda one: one.term > term)
    reported = _next_reports(scene, scene.symbols, at_ms)
    return {"symbols": len(scene.symbols), **_after("dispatch", dispatched, at_ms), **reported}


def master_kill(scene: Scene) -> Found:
    """SIGKILL of the master that holds ``nt:nodes``; a replica takes over, and the dead one comes back as its replica."""
    server = scene.cluster.first_master_of(scene.keys.nodes)
    there = [symbol for symbol in scene.symbols if scene.cluster.first_master_of(scene.keys.report(symbol)) is server]
    slot, other = key_slot(scene.keys.nodes.encode()), next(s for s in scene.cluster.servers if s is not server)

    def promoted() -> bool:
        with other.client() as client:
            return any(first <= slot <= last and master != server.port for first, last, master in master_ranges(client))

    at_ms = time.time() * 1000
    server.kill()
    scene.wait(promoted, "the promotion of a replica", WITHIN_S)
    at = time.time() - at_ms / 1000
    elsewhere = sorted({*scene.symbols} - {*there})
    of_others = _next_reports(scene, elsewhere, at_ms)
    reported = _next_reports(scene, there, at_ms)
    server.start()
    return {
        "symbols": len(there),
        "promoted": at,
        **reported,
        **{f"{name} of the others": value for name, value in of_others.items()},
    }


def rolling_restart(scene: Scene, nodes: Sequence[str]) -> Found:
    """SIGTERM of some nodes in turn; each is back at work before the next one goes."""
    at = time.time()
    for node in nodes:
        scene.fleet.terminate(node)
        scene.wait(partial(_has_symbols, scene, node, False), f"an assignment without {node}", WITHIN_S)
        scene.fleet.start(node)
        scene.wait(partial(_has_symbols, scene, node, True), f"symbols for {node}", WITHIN_S)
    return {"nodes": len(nodes), "took": time.time() - at}


def _has_symbols(scene: Scene, node: str, wanted: bool) -> bool:
    return (scene.loads()[node] > 0) is wanted


def _next_dispatches(scene: Scene, symbols: Sequence[str], counts: Callable[[Sent], bool]) -> list[int]:
    """When each symbol was next dispatched, ms."""
    found: dict[str, int] = {}

    def all_found() -> bool:
        for symbol in symbols:
            if symbol not in found and (times := [one.at_ms for one in scene.dispatches.sent[symbol] if counts(one)]):
                found[symbol] = times[0]
        return len(found) == len(symbols)

    scene.wait(all_found, "a dispatch of each symbol", WITHIN_S)
    return list(found.values())


def _next_reports(scene: Scene, symbols: Sequence[str], at_ms: float) -> Found:
    """How long each symbol waited for a report made after a moment."""
    scene.wait(lambda: not scene.without_report_since(at_ms, symbols), "a report of each symbol", WITHIN_S)
    return _after(
        "report", [next(s.at_ms for s in scene.leases.seen[one] if s.at_ms > at_ms) for one in symbols], at_ms
    )


def _after(name: str, times_ms: Sequence[float], at_ms: float) -> Found:
    waited = [(one - at_ms) / 1000 for one in times_ms]
    return {f"first {name}": min(waited), f"median {name}": statistics.median(waited), f"last {name}": max(waited)}

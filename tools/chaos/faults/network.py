"""What happens to connections to Redis."""

from __future__ import annotations

import time
from collections.abc import Collection

from tools.chaos.kind import TWO_PERIODS_MS, Kind
from tools.chaos.lab import PROXIED
from tools.chaos.scene import Scene
from tools.local.roles import INGESTS


def _kill_clients(scene: Scene, names: tuple[bytes, ...], share: float) -> float:
    with scene.lab.client() as client:
        listed = [c for c in client.client_list() if not c["name"].startswith("chaos:")]
        chosen = [
            int(c["id"])
            for c in listed
            if (not names or c["name"].encode().startswith(names)) and scene.chance.random() < share
        ]
        at = time.time()
        for number in chosen:
            client.execute_command("CLIENT", "KILL", "ID", number)
    return at


def registration_cut(scene: Scene) -> None:
    scene.rest()
    node, owner, _ = scene.a_node()
    at = _kill_clients(scene, (f"node:{node}".encode(),), 1.0)
    fault = scene.hurt("registration-cut", at, scene.symbols, victim=node)
    scene.recovered(fault, steady_s=1.5)
    scene.check_nothing_moved(fault, owner)


def connections_cut(scene: Scene) -> None:
    at = _kill_clients(scene, (), scene.chance.choice((0.2, 0.5, 1.0)))
    scene.recovered(scene.hurt("connections-cut", at, scene.symbols))


def _cut_off(scene: Scene, kind: str, name: str, order: str, symbols: Collection[str], owner: str = "") -> float:
    """A role without its network for a while; when that began."""
    seconds = scene.chance.uniform(2.0, 6.0)
    at = scene.lab.proxy(name, order)
    try:
        fault = scene.hurt(kind, at, symbols, victim=name, owner_gone=owner, note=f"{seconds:.1f} s")
        scene.recovered(fault)
        time.sleep(max(0.0, at + seconds - time.time()))
    finally:
        healed = scene.lab.proxy(name, "pass")
    scene.hurt("net-heal", healed, scene.symbols, victim=name)
    return at


def _node_cut_off(scene: Scene, kind: str, order: str) -> None:
    node, owner, symbols = scene.node(PROXIED[0])
    _cut_off(scene, kind, node, order, symbols, owner)


def net_hold(scene: Scene) -> None:
    _node_cut_off(scene, "net-hold", "hold")


def net_cut(scene: Scene) -> None:
    _node_cut_off(scene, "net-cut", "cut")


def net_delay(scene: Scene) -> None:
    node, _, symbols = scene.node(PROXIED[0])
    most = scene.chance.uniform(0.005, 0.025)
    at = scene.lab.proxy(node, f"delay {most / 4:.4f} {most:.4f}")
    try:
        fault = scene.hurt("net-delay", at, symbols, victim=node, note=f"{most * 1000:.0f} ms")
        scene.recovered(fault, steady_s=3.0)
    finally:
        scene.lab.proxy(node, "pass")


def beat_hold(scene: Scene) -> None:
    _cut_off(scene, "beat-hold", scene.lab.leader(), "hold", scene.symbols)


def beat_cut(scene: Scene) -> None:
    _cut_off(scene, "beat-cut", scene.lab.leader(), "cut", scene.symbols)


def ingest_hold(scene: Scene) -> None:
    at = _cut_off(scene, "ingest-hold", INGESTS[-1], "hold", scene.symbols)
    time.sleep(2.0)
    scene.check_streams(since=at)


KINDS = (
    Kind("registration-cut", TWO_PERIODS_MS, registration_cut, "CLIENT KILL of a node's registration"),
    Kind("connections-cut", 1500, connections_cut, "CLIENT KILL of a random share of all connections"),
    Kind("net-hold", 1500, net_hold, "a node's network swallows everything, 2-6 s"),
    Kind("net-cut", 1500, net_cut, "a node's connections cut and refused, 2-6 s"),
    Kind("net-delay", TWO_PERIODS_MS, net_delay, "a node's network delays by 5-25 ms each way"),
    Kind("beat-hold", 1500, beat_hold, "the leading beat's network swallows everything, 2-6 s"),
    Kind("beat-cut", 1500, beat_cut, "the leading beat's connections cut and refused, 2-6 s"),
    Kind("ingest-hold", TWO_PERIODS_MS, ingest_hold, "the network of one of two ingests swallows everything, 2-6 s"),
    Kind("net-heal", TWO_PERIODS_MS, None, "a role's network is well again"),
)

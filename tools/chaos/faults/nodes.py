"""What happens to nodes."""

from __future__ import annotations

import signal
import time

from tools.chaos.kind import LEAST_FREEZE_S, MOST_FREEZE_S, TWO_PERIODS_MS, Kind
from tools.chaos.mid_cycle import stop_mid_cycle
from tools.chaos.scene import Scene
from tools.local.roles import NODES

FROZEN_WRITER_S = 10.0
FLAPPING_S, FLAP_EVERY_S = 60.0, 3.0


def node_kill(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    at = scene.lab.signal(node, signal.SIGKILL)
    scene.recovered(scene.hurt("node-kill", at, symbols, victim=node, owner_gone=owner))
    scene.restart_node(node)


def node_freeze(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    seconds = scene.chance.uniform(LEAST_FREEZE_S, MOST_FREEZE_S)
    scene.freeze(
        node,
        seconds,
        lambda at: scene.hurt("node-freeze", at, symbols, victim=node, owner_gone=owner, note=f"{seconds:.1f} s"),
        wake="node-wake",
    )


def frozen_writer(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    scene.freeze(
        node,
        FROZEN_WRITER_S,
        lambda at: scene.hurt("frozen-writer", at, symbols, victim=node, owner_gone=owner),
        wake="node-wake",
        stop=lambda: stop_mid_cycle(scene.lab, node),
    )


def node_term(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    at = scene.lab.signal(node, signal.SIGTERM)
    scene.recovered(scene.hurt("node-term", at, symbols, victim=node), but_not=owner)
    ending = scene.hurt("node-end", time.time(), symbols, victim=node)
    scene.lab.await_end(node)
    scene.recovered(ending)
    scene.restart_node(node)


def node_flap(scene: Scene) -> None:
    name = scene.chance.choice(NODES)
    end = time.monotonic() + FLAPPING_S
    while time.monotonic() < end:
        again = time.monotonic() + FLAP_EVERY_S
        number = scene.chance.choice((signal.SIGKILL, signal.SIGTERM))
        _, owner, symbols = scene.node(name)
        others = [symbol for symbol in scene.symbols if symbol not in symbols]
        at = scene.lab.signal(name, number)
        spared = scene.hurt("flap-others", at, others, victim=name)
        gone = owner if number is signal.SIGKILL else ""
        fault = scene.hurt("node-flap", at, symbols, victim=name, owner_gone=gone, note=number.name)
        scene.recovered(fault, but_not=owner)
        scene.end(spared)
        joining = scene.restart_node(name)
        time.sleep(max(0.0, again - time.monotonic()))
        scene.end(joining)


KINDS = (
    Kind("node-kill", 500, node_kill, "SIGKILL of a node"),
    Kind("node-term", 350, node_term, "SIGTERM of a node"),
    Kind("node-freeze", 1500, node_freeze, "SIGSTOP of a node, 2-10 s"),
    Kind("frozen-writer", 1500, frozen_writer, "SIGSTOP of a node between reading and writing, 10 s"),
    Kind("node-flap", 500, node_flap, "a node restarted every 3 s for a minute", rarely=4),
    Kind("flap-others", TWO_PERIODS_MS, None, "the other nodes' symbols, while one restarts all the time"),
    Kind("node-end", TWO_PERIODS_MS, None, "a node that was told to stop finishes and ends"),
    Kind("node-join", TWO_PERIODS_MS, None, "a node starts again"),
    Kind("node-wake", TWO_PERIODS_MS, None, "a frozen node goes on"),
)

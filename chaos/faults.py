"""The faults, one row each: what is done, and how long symbols may go without a report because of it.

A fault's function does it, waits until its symptoms are over, and undoes it. Budgets are those of the design; where
the design has none, a symbol may miss one report (two periods), or what the note says.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.lab import INGESTS, PROXIED
from chaos.scene import Scene
from local.roles import BEATS

TWO_PERIODS_MS = 500
LEAST_FREEZE_S, MOST_FREEZE_S = 2.0, 10.0


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: as ``--only`` takes it, and as the table shows it.
        budget_ms: the longest a symbol may go without a report from the fault on; None: it is only measured.
        commit: does it. None: it is never chosen, but follows from another (a killed node joins again).
        what: what is done, in a few words.
        skip: why it cannot be had here, or "".
    """

    name: str
    budget_ms: float | None
    commit: Callable[[Scene], None] | None
    what: str
    skip: str = ""


def nothing(scene: Scene) -> None:
    scene.recovered(scene.hurt("nothing", time.time(), scene.symbols), steady_s=5.0)


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


def node_term(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    at = scene.lab.signal(node, signal.SIGTERM)
    scene.recovered(scene.hurt("node-term", at, symbols, victim=node), but_not=owner)
    ending = scene.hurt("node-end", time.time(), symbols, victim=node)
    scene.lab.await_end(node)
    scene.recovered(ending)
    scene.restart_node(node)


def leader_kill(scene: Scene) -> None:
    beat = scene.lab.leader()
    at = scene.lab.signal(beat, signal.SIGKILL)
    scene.recovered(scene.hurt("beat-kill", at, scene.symbols, victim=beat), steady_s=2.0)
    scene.hurt("beat-join", scene.lab.start_role(beat), scene.symbols, victim=beat)
    time.sleep(3.0)


def leader_term(scene: Scene) -> None:
    beat = scene.lab.leader()
    at = scene.lab.signal(beat, signal.SIGTERM)
    scene.recovered(scene.hurt("beat-term", at, scene.symbols, victim=beat), steady_s=2.0)
    scene.hurt("beat-join", scene.lab.start_role(beat), scene.symbols, victim=beat)
    time.sleep(3.0)


def leader_freeze(scene: Scene) -> None:
    beat = scene.lab.leader()
    seconds = scene.chance.uniform(LEAST_FREEZE_S, MOST_FREEZE_S)
    scene.freeze(
        beat,
        seconds,
        lambda at: scene.hurt("beat-freeze", at, scene.symbols, victim=beat, note=f"{seconds:.1f} s"),
        wake="beat-wake",
    )


def standby_kill(scene: Scene) -> None:
    leader = scene.lab.leader()
    beat = next(name for name in BEATS if name != leader)
    at = scene.lab.signal(beat, signal.SIGKILL)
    scene.recovered(scene.hurt("standby-kill", at, scene.symbols, victim=beat), steady_s=2.0)
    scene.hurt("beat-join", scene.lab.start_role(beat), scene.symbols, victim=beat)
    time.sleep(3.0)


def ingest_kill(scene: Scene) -> None:
    role = scene.chance.choice(INGESTS)
    at = scene.lab.signal(role, signal.SIGKILL)
    scene.recovered(scene.hurt("ingest-kill", at, scene.symbols, victim=role), steady_s=2.0)
    scene.check_streams(since=at)
    scene.lab.start_role(role)
    time.sleep(2.0)


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
    node, owner, _ = scene.a_node()
    at = _kill_clients(scene, (f"node:{node}".encode(),), 1.0)
    fault = scene.hurt("registration-cut", at, scene.symbols, victim=node)
    scene.recovered(fault, steady_s=1.5)
    scene.check_nothing_moved(fault, owner)


def connections_cut(scene: Scene) -> None:
    at = _kill_clients(scene, (), scene.chance.choice((0.2, 0.5, 1.0)))
    scene.recovered(scene.hurt("connections-cut", at, scene.symbols))


def _network(scene: Scene, kind: str, order: str, note: str = "") -> None:
    node, owner, symbols = scene.node(PROXIED)
    seconds = scene.chance.uniform(2.0, 6.0)
    at = scene.lab.proxy(order)
    try:
        fault = scene.hurt(kind, at, symbols, victim=node, owner_gone=owner, note=note or f"{seconds:.1f} s")
        scene.recovered(fault)
        time.sleep(max(0.0, at + seconds - time.time()))
    finally:
        healed = scene.lab.proxy("pass")
    scene.hurt("net-heal", healed, scene.symbols, victim=node)


def net_hold(scene: Scene) -> None:
    _network(scene, "net-hold", "hold")


def net_cut(scene: Scene) -> None:
    _network(scene, "net-cut", "cut")


def net_delay(scene: Scene) -> None:
    node, _, symbols = scene.node(PROXIED)
    most = scene.chance.uniform(0.005, 0.025)
    at = scene.lab.proxy(f"delay {most / 4:.4f} {most:.4f}")
    try:
        fault = scene.hurt("net-delay", at, symbols, victim=node, note=f"{most * 1000:.0f} ms")
        scene.recovered(fault, steady_s=3.0)
    finally:
        scene.lab.proxy("pass")


def _redis_away(scene: Scene, kind: str, seconds: float, *, keep: bool) -> None:
    at = scene.lab.stop_redis(keep=keep)
    time.sleep(seconds)
    back = scene.lab.start_redis()
    fault = scene.hurt(kind, at, scene.symbols, counts_from=back, note=f"away {back - at:.1f} s")
    scene.recovered(fault)


def redis_restart(scene: Scene) -> None:
    _redis_away(scene, "redis-restart", scene.chance.uniform(0.0, 3.0), keep=True)


def redis_empty(scene: Scene) -> None:
    _redis_away(scene, "redis-empty", scene.chance.uniform(0.0, 3.0), keep=False)


def redis_crash(scene: Scene) -> None:
    scene.lab.save_redis()
    lost = scene.chance.uniform(0.1, 3.0)
    time.sleep(lost)
    at = scene.lab.kill_redis()
    back = scene.lab.start_redis()
    fault = scene.hurt("redis-crash", at, scene.symbols, counts_from=back, note=f"the last {lost:.1f} s lost")
    scene.recovered(fault, steady_s=2.0)


def redis_away(scene: Scene) -> None:
    _redis_away(scene, "redis-away", scene.chance.uniform(5.0, 15.0), keep=scene.chance.random() < 0.5)


def redis_flush(scene: Scene) -> None:
    with scene.lab.client() as client:
        at = time.time()
        client.flushall()
    scene.recovered(scene.hurt("redis-flush", at, scene.symbols), steady_s=2.0)


def redis_freeze(scene: Scene) -> None:
    at = scene.lab.signal("redis", signal.SIGSTOP)
    time.sleep(scene.chance.uniform(0.5, 4.0))
    back = scene.lab.signal("redis", signal.SIGCONT)
    fault = scene.hurt("redis-freeze", at, scene.symbols, counts_from=back, note=f"{back - at:.1f} s")
    scene.recovered(fault, steady_s=2.0)


def exchange_drop(scene: Scene) -> None:
    at = scene.lab.exchange_fault("drop")
    scene.recovered(scene.hurt("exchange-drop", at, scene.symbols, fresh=True))


def exchange_skip(scene: Scene) -> None:
    symbol, count = scene.chance.choice(scene.symbols), scene.chance.randint(1, 3)
    at = scene.lab.exchange_fault("skip", symbol=symbol, count=count)
    time.sleep(0.1 * count)
    fault = scene.hurt("exchange-skip", at, (symbol,), counts_from=at + 0.1 * count, fresh=True, note=f"{count} diffs")
    scene.recovered(fault)


# What a client can only tell from the content: the true diffs connect to it.
RUBBISH = ("not-json", "wrong-types", "missing-fields", "nan", "infinity", "negative-price", "crossed", "huge")


def exchange_rubbish(scene: Scene) -> None:
    symbol, kind = scene.chance.choice(scene.symbols), scene.chance.choice(RUBBISH)
    # The connection that tells the truth is spared.
    ours = scene.lab.ingest_connections()
    chosen = ours if scene.chance.random() < 0.5 else [scene.chance.choice(ours)]
    at = time.time()
    for connection in chosen:
        scene.lab.exchange_fault("rubbish", kind=kind, symbol=symbol, connection=connection)
    scene.recovered(scene.hurt("exchange-rubbish", at, (symbol,), fresh=True, note=kind))


def exchange_pause(scene: Scene) -> None:
    seconds = scene.chance.uniform(0.5, 3.0)
    at = scene.lab.exchange_fault("pause", seconds=seconds)
    time.sleep(seconds)
    fault = scene.hurt("exchange-pause", at, scene.symbols, counts_from=at + seconds, fresh=True)
    scene.recovered(fault)


def exchange_shutdown(scene: Scene) -> None:
    at = scene.lab.exchange_fault("shutdown", seconds=1.0)
    scene.recovered(scene.hurt("exchange-shutdown", at, scene.symbols, fresh=True), steady_s=2.0)


KINDS = (
    Kind("nothing", TWO_PERIODS_MS, nothing, "no fault: what this machine's other work does to the gaps"),
    Kind("node-kill", 500, node_kill, "SIGKILL of a node"),
    Kind("node-term", 350, node_term, "SIGTERM of a node"),
    Kind("node-freeze", 1500, node_freeze, "SIGSTOP of a node, 2-10 s"),
    Kind("beat-kill", 500, leader_kill, "SIGKILL of the leading beat"),
    Kind("beat-term", 500, leader_term, "SIGTERM of the leading beat"),
    Kind("beat-freeze", 1500, leader_freeze, "SIGSTOP of the leading beat, 2-10 s"),
    Kind("standby-kill", TWO_PERIODS_MS, standby_kill, "SIGKILL of the other beat"),
    Kind("ingest-kill", TWO_PERIODS_MS, ingest_kill, "SIGKILL of one of two ingests"),
    Kind("registration-cut", TWO_PERIODS_MS, registration_cut, "CLIENT KILL of a node's registration"),
    Kind("connections-cut", 1500, connections_cut, "CLIENT KILL of a random share of all connections"),
    Kind("net-hold", 1500, net_hold, "a node's network swallows everything, 2-6 s"),
    Kind("net-cut", 1500, net_cut, "a node's connections cut and refused, 2-6 s"),
    Kind("net-delay", TWO_PERIODS_MS, net_delay, "a node's network delays by 5-25 ms each way"),
    Kind("redis-restart", 2000, redis_restart, "Redis restarted with its data"),
    Kind("redis-empty", 2000, redis_empty, "Redis restarted empty"),
    Kind("redis-crash", 2000, redis_crash, "SIGKILL of Redis, which comes back without its last 0.1-3 s"),
    Kind("redis-flush", 2000, redis_flush, "FLUSHALL"),
    Kind("redis-away", 2000, redis_away, "Redis away for 5-15 s, its data kept or not"),
    Kind("redis-freeze", 2000, redis_freeze, "SIGSTOP of Redis, 0.5-4 s"),
    Kind("redis-failover", 2000, None, "failover to a replica by Sentinel", skip="the lab has no Sentinel yet"),
    Kind("exchange-drop", 2000, exchange_drop, "the exchange cuts every connection"),
    Kind("exchange-skip", 2000, exchange_skip, "the exchange leaves out 1-3 diffs"),
    Kind("exchange-rubbish", 2000, exchange_rubbish, "the exchange sends rubbish"),
    Kind("exchange-pause", 2000, exchange_pause, "the exchange stands still, 0.5-3 s"),
    Kind("exchange-shutdown", 2000, exchange_shutdown, "the exchange announces its end and closes"),
    Kind("node-end", TWO_PERIODS_MS, None, "a node that was told to stop finishes and ends"),
    Kind("node-join", TWO_PERIODS_MS, None, "a node starts again"),
    Kind("node-wake", TWO_PERIODS_MS, None, "a frozen node goes on"),
    Kind("net-heal", TWO_PERIODS_MS, None, "a node's network is well again"),
    Kind("beat-join", TWO_PERIODS_MS, None, "a beat starts again"),
    Kind("beat-wake", TWO_PERIODS_MS, None, "a frozen beat goes on"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
CHOSEN = tuple(kind.name for kind in KINDS if kind.commit is not None)

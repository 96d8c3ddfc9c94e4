"""Faults of the network between roles and Redis."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial

from tools.chaos.deployment import PROXIED
from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.injector import FaultKind, Injector
from tools.local.roles import INGESTS


def _kill_clients(injector: Injector, names: tuple[bytes, ...], share: float) -> float:
    with injector.stack.client() as client:
        listed = [c for c in client.client_list() if not c["name"].startswith("chaos:")]
        chosen = [
            int(c["id"])
            for c in listed
            if (not names or c["name"].encode().startswith(names)) and injector.rng.random() < share
        ]
        at = time.time()
        for number in chosen:
            client.execute_command("CLIENT", "KILL", "ID", number)
    return at


def _registration_cut(injector: Injector) -> None:
    injector.await_no_voluntary_moves()
    node, owner, _ = injector.random_node()
    at = _kill_clients(injector, (f"node:{node}".encode(),), 1.0)
    fault = injector.begin_fault("registration-cut", at, injector.symbols, victim=node)
    injector.await_recovery(fault, steady_s=1.5)
    injector.check_nothing_moved(fault, owner)


def _connections_cut(injector: Injector) -> None:
    at = _kill_clients(injector, (), injector.rng.choice((0.2, 0.5, 1.0)))
    injector.await_recovery(injector.begin_fault("connections-cut", at, injector.symbols))


def _cut_off(
    injector: Injector,
    kind: str,
    name: str,
    order: str,
    symbols: Collection[str],
    owner: str = "",
    *,
    broker_only: bool = False,
) -> float:
    """Give the proxy of a role an order for 2 to 6 s; returns when that began (Unix time, s)."""
    seconds = injector.rng.uniform(2.0, 6.0)
    at = injector.stack.proxy(name, order, broker_only=broker_only)
    try:
        fault = injector.begin_fault(kind, at, symbols, victim=name, owner_gone=owner, note=f"{seconds:.1f} s")
        injector.await_recovery(fault)
        time.sleep(max(0.0, at + seconds - time.time()))
    finally:
        healed = injector.stack.proxy(name, "pass", broker_only=broker_only)
    injector.begin_fault("net-heal", healed, injector.symbols, victim=name)
    return at


def _node_cut_off(injector: Injector, order: str) -> None:
    node, owner, symbols = injector.node(PROXIED[0])
    _cut_off(injector, f"net-{order}", node, order, symbols, owner)


def _net_delay(injector: Injector) -> None:
    node, _, symbols = injector.node(PROXIED[0])
    max_delay_s = injector.rng.uniform(0.005, 0.025)
    at = injector.stack.proxy(node, f"delay {max_delay_s / 4:.4f} {max_delay_s:.4f}")
    try:
        fault = injector.begin_fault("net-delay", at, symbols, victim=node, note=f"{max_delay_s * 1000:.0f} ms")
        injector.await_recovery(fault, steady_s=3.0)
    finally:
        injector.stack.proxy(node, "pass")


def _beat_cut_off(injector: Injector, order: str) -> None:
    _cut_off(injector, f"beat-{order}", injector.stack.leader(), order, injector.symbols)


def _node_unread(injector: Injector) -> None:
    node, owner, symbols = injector.node(PROXIED[0])
    _cut_off(injector, "node-unread", node, "hold", symbols, owner, broker_only=True)


def _beat_cannot_send(injector: Injector) -> None:
    order = injector.rng.choice(("hold", "cut"))
    _cut_off(injector, "beat-cannot-send", injector.stack.leader(), order, injector.symbols, broker_only=True)


def _ingest_hold(injector: Injector) -> None:
    with injector.writer_lost(INGESTS[-1]):
        at = _cut_off(injector, "ingest-hold", INGESTS[-1], "hold", injector.symbols)
    injector.await_ingests()
    injector.check_streams(since=at)


KINDS = (
    FaultKind("registration-cut", TWO_PERIODS_MS, _registration_cut, "CLIENT KILL of a node's registration"),
    FaultKind("connections-cut", 1500, _connections_cut, "CLIENT KILL of a random share of all connections"),
    FaultKind("net-hold", 1500, partial(_node_cut_off, order="hold"), "a node's network drops everything, 2-6 s"),
    FaultKind("net-cut", 1500, partial(_node_cut_off, order="cut"), "a node's connections cut and refused, 2-6 s"),
    FaultKind("net-delay", TWO_PERIODS_MS, _net_delay, "a node's network delays by 5-25 ms each way"),
    FaultKind(
        "beat-hold", 1500, partial(_beat_cut_off, order="hold"), "the leading beat's network drops everything, 2-6 s"
    ),
    FaultKind(
        "beat-cut", 1500, partial(_beat_cut_off, order="cut"), "the leading beat's connections cut and refused, 2-6 s"
    ),
    FaultKind(
        "node-unread", 2500, _node_unread, "a node's way to the broker drops everything, 2-6 s: nobody reads its queue"
    ),
    FaultKind(
        "beat-cannot-send", 2500, _beat_cannot_send, "the leading beat's way to the broker is cut or drops everything"
    ),
    FaultKind("ingest-hold", TWO_PERIODS_MS, _ingest_hold, "the network of one of two ingests drops everything, 2-6 s"),
    FaultKind("net-heal", TWO_PERIODS_MS, None, "a role's network works again"),
)

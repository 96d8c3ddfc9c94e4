"""Processes that live and do not work: a main thread that hangs, a node that takes no messages."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from celery import Celery

from tickfence.redis_access.address import kombu_address
from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.injector import FaultKind, Injector
from tools.chaos.stopped_thread import main_thread_stopped, unavailable

MIN_HANG_S, MAX_HANG_S = 4.0, 10.0
DEAF_S = 4.0
_ANSWER_S = 2.0


def _node_hang(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    seconds = injector.rng.uniform(MIN_HANG_S, MAX_HANG_S)
    with main_thread_stopped(injector.stack.pid(node)) as at:
        fault = injector.begin_fault("node-hang", at, symbols, victim=node, owner_gone=owner, note=f"{seconds:.1f} s")
        injector.await_recovery(fault)
        time.sleep(max(0.0, at + seconds - time.time()))
    injector.begin_fault("node-wake", time.time(), injector.symbols, victim=node)


def _beat_hang(injector: Injector) -> None:
    beat = injector.stack.leader()
    seconds = injector.rng.uniform(MIN_HANG_S, MAX_HANG_S)
    with main_thread_stopped(injector.stack.pid(beat)) as at:
        fault = injector.begin_fault("beat-hang", at, injector.symbols, victim=beat, note=f"{seconds:.1f} s")
        injector.await_recovery(fault)
        time.sleep(max(0.0, at + seconds - time.time()))
    injector.begin_fault("beat-wake", time.time(), injector.symbols, victim=beat)


def _node_deaf(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    url, options = kombu_address(injector.stack.environment["CELERY_BROKER_URL"])
    with Celery("chaos", broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"global_keyprefix": injector.stack.settings.keys.prefix, **options}
        where = {"destination": [f"{node}@{socket.gethostname()}"], "reply": True, "timeout": _ANSWER_S}

        def tell(command: Callable[..., object]) -> float:
            # Over a connection of its own: those that kombu keeps may be from before a fault of Redis.
            with app.connection_for_write() as connection:
                at = time.time()
                command(node, connection=connection, **where)
            return at

        at = tell(app.control.cancel_consumer)
        fault = injector.begin_fault("node-deaf", at, symbols, victim=node, owner_gone=owner)
        try:
            injector.await_recovery(fault)
            time.sleep(max(0.0, at + DEAF_S - time.time()))
        finally:
            heard = tell(app.control.add_consumer)
        injector.begin_fault("node-join", heard, injector.symbols, victim=node)


KINDS = (
    FaultKind("node-hang", 2500, _node_hang, "a node's main thread stopped, 4-10 s", skip=unavailable()),
    FaultKind("node-deaf", TWO_PERIODS_MS, _node_deaf, "cancel_consumer of a node's queue, then add_consumer"),
    FaultKind("beat-hang", 1500, _beat_hang, "the leading beat's main thread stopped, 4-10 s", skip=unavailable()),
)

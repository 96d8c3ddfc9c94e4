"""Two workers with one node id."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from tools.chaos.checker import Violation
from tools.chaos.history import Record, Write
from tools.chaos.kind import TWO_PERIODS_MS, Kind
from tools.chaos.lab import LabError
from tools.chaos.outsider import Outsider
from tools.chaos.scene import Scene

NO_METRICS = {"NT_METRICS_PORT": "0"}  # its twin has the port


def refusal_flaw(node: str, status: int, log: str) -> str:
    """What is wrong with how a second worker with a node id in use ended, or ""."""
    told = [line for line in log.splitlines() if f"'{node}'" in line and "in use" in line]
    if status == os.EX_OK:
        return "it ended with status 0"
    if len(told) != 1:
        return f"{len(told)} lines of its log say that {node} is in use"
    return ""


def twin(scene: Scene) -> None:
    scene.rest()
    node, owner, _ = scene.a_node()
    with Outsider(scene.lab, node, "twin", NO_METRICS) as second:
        fault = scene.hurt("twin", second.started_at, scene.symbols, victim=node)
        try:
            flaw = refusal_flaw(node, second.await_end(), second.log)
        except LabError as error:
            flaw = str(error)
        if flaw:
            scene.found.append(Violation(time.time(), node, "twin not refused", flaw))
        scene.recovered(fault)
    scene.check_nothing_moved(fault, owner)


def twin_takes_over(scene: Scene) -> None:
    node, owner, symbols = scene.a_node()
    at = scene.lab.signal(node, signal.SIGSTOP)
    try:
        scene.recovered(scene.hurt("twin-takes-over", at, symbols, victim=node, owner_gone=owner))
        with Outsider(scene.lab, node, "twin", NO_METRICS) as second:
            joining = scene.hurt("node-join", second.started_at, scene.symbols, victim=node)
            if not scene.settle() or second.status is not None:
                detail = f"exit status {second.status}; its log ends: {second.log[-200:]}"
                scene.found.append(Violation(joining.time, node, "twin of a frozen node not accepted", detail))
            woken = scene.lab.signal(node, signal.SIGCONT)
            waking = scene.hurt("twin-wake", woken, scene.symbols, victim=node)
            scene.lab.await_end(node)
            scene.recovered(waking, steady_s=1.0)
            scene.found += writes_of(scene.recorder.records, owner, since=woken)
            heir = scene.owner(node)
            at = second.signal(signal.SIGTERM)
            scene.recovered(scene.hurt("node-term", at, scene.symbols_of(heir), victim=node), but_not=heir)
            second.await_end()
    finally:
        if scene.lab.pid(node):
            scene.lab.signal(node, signal.SIGCONT)
    scene.restart_node(node)


def writes_of(records: Iterable[Record], owner: str, since: float) -> list[Violation]:
    """Every accepted write of an owner whose node id another process has had since."""
    return [
        Violation(record.time, record.symbol, "write of a replaced owner", f"{record.token} of {owner}")
        for record in records
        if isinstance(record, Write) and record.owner == owner and record.time >= since
    ]


KINDS = (
    Kind("twin", TWO_PERIODS_MS, twin, "a second worker with a node id in use", conflicts=True),
    Kind(
        "twin-takes-over", 1500, twin_takes_over, "a frozen node is replaced by a second one of its id", conflicts=True
    ),
    Kind("twin-wake", TWO_PERIODS_MS, None, "a frozen node goes on after a second one of its id has replaced it"),
)

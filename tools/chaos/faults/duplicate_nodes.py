"""Faults of configuration: two workers with one node id."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

from tools.chaos.checker import Violation
from tools.chaos.extra_process import ExtraProcess
from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.history import Record, Write
from tools.chaos.injector import FaultKind, Injector
from tools.local.supervision import SupervisionError

NO_METRICS = {"NT_METRICS_PORT": "0"}  # the port is in use by the first worker


def refusal_flaw(node: str, status: int, log: str) -> str:
    """What is wrong with the end of a worker whose node id was in use, or "".

    Args:
        node: the node id.
        status: exit status of the worker.
        log: all that it wrote.
    """
    lines = [line for line in log.splitlines() if f"'{node}'" in line and "in use" in line]
    if status == os.EX_OK:
        return "it ended with status 0"
    if len(lines) != 1:
        return f"{len(lines)} lines of its log say that {node} is in use"
    return ""


def _twin(injector: Injector) -> None:
    injector.await_no_voluntary_moves()
    node, owner, _ = injector.random_node()
    with ExtraProcess(injector.stack, node, "twin", NO_METRICS) as second:
        fault = injector.begin_fault("twin", second.started_at, injector.symbols, victim=node)
        try:
            flaw = refusal_flaw(node, second.await_end(), second.log)
        except SupervisionError as error:
            flaw = str(error)
        if flaw:
            injector.violations.append(Violation(time.time(), node, "twin not refused", flaw))
        injector.await_recovery(fault)
    injector.check_nothing_moved(fault, owner)


def _twin_takes_over(injector: Injector) -> None:
    node, owner, symbols = injector.random_node()
    at = injector.stack.signal(node, signal.SIGSTOP)
    try:
        injector.await_recovery(injector.begin_fault("twin-takes-over", at, symbols, victim=node, owner_gone=owner))
        with ExtraProcess(injector.stack, node, "twin", NO_METRICS) as second:
            joining = injector.begin_fault("node-join", second.started_at, injector.symbols, victim=node)
            if not injector.await_steady() or second.status is not None:
                detail = f"exit status {second.status}; its log ends: {second.log[-200:]}"
                injector.violations.append(Violation(joining.time, node, "twin of a frozen node not accepted", detail))
            woken = injector.stack.signal(node, signal.SIGCONT)
            waking = injector.begin_fault("twin-wake", woken, injector.symbols, victim=node)
            injector.stack.await_end(node)
            injector.await_recovery(waking, steady_s=1.0)
            injector.violations += writes_of(injector.recorder.records, owner, since=woken)
            successor = injector.owner(node)
            at = second.signal(signal.SIGTERM)
            injector.await_recovery(
                injector.begin_fault("node-term", at, injector.symbols_of(successor), victim=node), but_not=successor
            )
            second.await_end()
    finally:
        if injector.stack.pid(node):
            injector.stack.signal(node, signal.SIGCONT)
    injector.restart_node(node)


def writes_of(records: Iterable[Record], owner: str, since: float) -> list[Violation]:
    """Violations: every accepted write of an owner whose node id another process has.

    Args:
        records: the history.
        owner: ``node/incarnation``.
        since: Unix time, s.
    """
    return [
        Violation(record.time, record.symbol, "write of a replaced owner", f"{record.token} of {owner}")
        for record in records
        if isinstance(record, Write) and record.owner == owner and record.time >= since
    ]


KINDS = (
    FaultKind("twin", TWO_PERIODS_MS, _twin, "a second worker with a node id in use", conflicts=True),
    FaultKind(
        "twin-takes-over",
        1500,
        _twin_takes_over,
        "a frozen node is replaced by a second one with its id",
        conflicts=True,
    ),
    FaultKind("twin-wake", TWO_PERIODS_MS, None, "the frozen node resumes after a second one has replaced it"),
)

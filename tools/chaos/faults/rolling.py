"""Every role restarted in turn, as an operator does it; the same through another version and back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tools.chaos.deployment import OTHER_VERSION
from tools.chaos.extra_process import ExtraProcess
from tools.chaos.injector import FaultKind, Injector
from tools.chaos.stack_under_test import StackError
from tools.local.roles import BEATS, INGESTS, NODES

ORDER = (*INGESTS, *BEATS, *NODES)

_POLL_S = 0.05
_READY_S = 90.0  # more than the fault may take: another version's first start compiles it


def _await_ready(injector: Injector, role: str) -> None:
    """Wait as an operator does before the next role: for its own sign that it works, and for regular reports."""
    deadline = time.monotonic() + _READY_S
    while not _works(injector, role):
        if time.monotonic() > deadline:
            logs = (injector.stack.state_dir / "logs").glob(f"{role}*.log")
            raise StackError(
                f"{role} does not work within {_READY_S:g} s; its logs end with\n"
                + "\n".join(log.read_text()[-2000:] for log in logs)
            )
        time.sleep(_POLL_S)
    injector.await_steady()


def _works(injector: Injector, role: str) -> bool:
    """Whether an ingest has all books, or a beat sees the nodes: it leads, or could at once."""
    if role in INGESTS:
        return injector.has_all_books(role)
    return role not in BEATS or bool(injector.stack.metric(role, "nt_nodes_alive"))


def _rolling_restart(injector: Injector) -> None:
    for role in ORDER:
        at = injector.stack.signal(role, signal.SIGTERM)
        injector.begin_fault("rolling-restart", at, injector.symbols, victim=role)
        injector.stack.start_role(role)
        _await_ready(injector, role)


def _through_other_version(injector: Injector, kind: str, roles: Sequence[str]) -> None:
    checkout = Path(os.environ[OTHER_VERSION])
    with ExitStack() as context:
        others = {}
        for role in roles:
            at = injector.stack.signal(role, signal.SIGTERM)
            injector.begin_fault(kind, at, injector.symbols, victim=role, note="to the other version")
            injector.stack.await_end(role)
            others[role] = context.enter_context(ExtraProcess(injector.stack, role, "other", {}, checkout))
            _await_ready(injector, role)
        for role in roles:
            at = others[role].signal(signal.SIGTERM)
            injector.begin_fault(kind, at, injector.symbols, victim=role, note="back")
            others[role].await_end()
            injector.stack.start_role(role)
            _await_ready(injector, role)


def _rolling_upgrade(injector: Injector) -> None:
    _through_other_version(injector, "rolling-upgrade", ORDER)


def _two_versions(injector: Injector) -> None:
    roles = (INGESTS[0], next(beat for beat in BEATS if beat != injector.stack.leader()), NODES[0])
    _through_other_version(injector, "two-versions", roles)


_NO_OTHER_VERSION = "" if os.environ.get(OTHER_VERSION) else f"{OTHER_VERSION} names no checkout"

KINDS = (
    FaultKind("rolling-restart", 500, _rolling_restart, "every role restarted in turn", every_nth_round=4),
    FaultKind(
        "rolling-upgrade",
        500,
        _rolling_upgrade,
        f"every role replaced in turn by the version in {OTHER_VERSION}, and back",
        skip=_NO_OTHER_VERSION,
        every_nth_round=4,
    ),
    FaultKind(
        "two-versions",
        500,
        _two_versions,
        "one ingest, one beat and one node replaced by that version, and back",
        skip=_NO_OTHER_VERSION,
        every_nth_round=4,
    ),
)

"""Faults at random, one after the other, on a stack that is watched throughout."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chaos.checker import Verdict, Violation, check
from chaos.faults import BY_NAME, CHOSEN
from chaos.gaps import Gap, gaps
from chaos.history import Injected, Record, Stall, Write
from chaos.lab import Lab, LabError
from chaos.recorder import Recorder
from chaos.scene import Scene
from chaos.stalls import StallWatch
from chaos.truth import Truth
from local.ports import LOOPBACK

START_S = 60.0


@dataclass
class Outcome:
    """What a campaign found.

    Attributes:
        conflicts: leases refused as conflicts, over all nodes and their lives, by the kind of fault before it.
        unsettled: kinds of faults after which the stack did not become as it was before.
    """

    records: list[Record]
    verdict: Verdict
    gaps: list[Gap]
    faults: Counter[str]
    conflicts: Counter[str] = field(default_factory=Counter)
    unsettled: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[Violation]:
        return self.verdict.violations

    @property
    def undue_conflicts(self) -> int:
        """Conflicts that were no part of a fault."""
        return sum(
            count for kind, count in self.conflicts.items() if kind not in BY_NAME or not BY_NAME[kind].conflicts
        )


def stalls(records: Sequence[Record]) -> str:
    """How busy the machine was, in a sentence."""
    late = [record.late_ms for record in records if isinstance(record, Stall)]
    times = [record.time for record in records if isinstance(record, Write)]
    minutes = (times[-1] - times[0]) / 60 if times else 0.0
    return (
        f"The machine was late by more than 30 ms {len(late)} times in {minutes:.1f} minutes, "
        f"by {max(late, default=0):.0f} ms at most."
    )


def judge(records: Sequence[Record]) -> Outcome:
    """What a history shows, and nothing else."""
    faults = Counter(record.kind for record in records if isinstance(record, Injected))
    return Outcome(list(records), check(records), gaps(records), faults)


def run(
    state_dir: Path,
    *,
    seed: int,
    seconds: float,
    only: Sequence[str] = (),
    most: int | None = None,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Torment a stack for ``seconds``, or with ``most`` faults, whichever ends first.

    Parameters:
        state_dir: for logs, Redis' files.
        seed: of the choice of faults and of their details.
        only: kinds to choose from; all by default.
        environment: settings of the roles.
    """
    chance = random.Random(seed)
    kinds = list(only) or list(CHOSEN)
    pending: list[str] = []
    unsettled: list[str] = []
    conflicts: Counter[str] = Counter()
    with ExitStack() as context:
        lab = context.enter_context(Lab(state_dir, environment or {}))
        lab.start()
        recorder = context.enter_context(Recorder(LOOPBACK, lab.ports.redis))
        context.enter_context(Truth(lab.ws_url, lab.http_url, lab.symbols, recorder.records))
        context.enter_context(StallWatch(recorder.records))
        scene = Scene(lab, recorder, chance, say)
        if not scene.settle(START_S):
            raise LabError(f"the stack did not come up within {START_S:g} s; see the logs in {lab.state_dir}/logs")
        conflicts["start"] = scene.conflicts_seen()
        started, count = time.monotonic(), 0
        while time.monotonic() - started < seconds and (most is None or count < most):
            if not pending:  # every kind once, in a new order each time: rare kinds are not left to luck
                pending = chance.sample(kinds, len(kinds))
            name = pending.pop()
            commit = BY_NAME[name].commit
            assert commit is not None
            count += 1
            before = len(recorder.records)
            commit(scene)
            settled = scene.settle()
            conflicts[name] += scene.conflicts_seen()
            if not settled:
                unsettled.append(name)
            say(_line(count, time.monotonic() - started, recorder.records[before:], settled))
    outcome = judge(recorder.records)
    outcome.verdict.violations += scene.found
    outcome.conflicts, outcome.unsettled = conflicts, unsettled
    return outcome


def _line(count: int, at_s: float, records: Sequence[Record], settled: bool) -> str:
    """What one fault did, in a line."""
    parts = []
    for record in records:
        if isinstance(record, Injected):
            worst = max((gap.longest_ms for gap in gaps([*records[:], record]) if gap.time == record.time), default=0)
            parts.append(f"{record.kind} {record.victim} {record.note}".strip() + f": gap {worst:.0f} ms")
    return f"{at_s:7.1f} s  #{count} {'; '.join(parts)}{'' if settled else '; NOT WELL AGAIN'}"

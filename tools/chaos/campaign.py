"""Faults at random, one after the other, on a stack that is watched throughout."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tools.chaos.checker import Verdict, Violation, check
from tools.chaos.faults import BY_NAME, CHOSEN, failover
from tools.chaos.gaps import Gap, gaps
from tools.chaos.history import Began, Injected, Record, Stall, Write, stacks
from tools.chaos.lab import PRODUCT, Lab, LabError
from tools.chaos.memory import MemoryWatch
from tools.chaos.recorder import Recorder
from tools.chaos.scene import Scene
from tools.chaos.stalls import StallWatch
from tools.chaos.topology import Topology
from tools.chaos.truth import Truth
from tools.local.ports import LOOPBACK

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
    def chosen(self) -> int:
        """Number of faults that follow from no other."""
        return sum(count for kind, count in self.faults.items() if kind not in BY_NAME or BY_NAME[kind].commit)

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
    """What a history shows, and nothing else. That of each stack is judged by itself."""
    return merged([_judge(stack) for stack in stacks(records)])


def _judge(records: Sequence[Record]) -> Outcome:
    faults = Counter(record.kind for record in records if isinstance(record, Injected))
    return Outcome(list(records), check(records), gaps(records), faults)


def merged(outcomes: Iterable[Outcome]) -> Outcome:
    """What campaigns on several stacks found, as one."""
    whole = Outcome([], Verdict(), [], Counter())
    for one in outcomes:
        whole.records += one.records
        whole.verdict += one.verdict
        whole.gaps += one.gaps
        whole.faults += one.faults
        whole.conflicts.update(one.conflicts)
        whole.unsettled += one.unsettled
    return whole


def parts(only: Sequence[str] = ()) -> dict[Topology, list[str]]:
    """Kinds of faults to choose from in each topology that has some: all by default."""
    found = {topology: [name for name in only or CHOSEN if BY_NAME[name].topology is topology] for topology in Topology}
    if not only:
        found[Topology.SENTINEL] += failover.BESIDE
    return {topology: kinds for topology, kinds in found.items() if kinds}


def rounds(only: Sequence[str], chance: random.Random, among: Sequence[str] = CHOSEN) -> Iterator[str]:
    """Kinds of faults without end: every kind once, in a new order each round, so that none is left to luck.

    Those that are chosen rarely are left out of most rounds, unless ``only`` names them.
    """
    for number in count(1):
        kinds = [name for name in among if number % BY_NAME[name].rarely == BY_NAME[name].rarely // 2]
        kinds = list(only) or kinds
        yield from chance.sample(kinds, len(kinds))


def run(
    state_dir: Path,
    *,
    seed: int,
    seconds: float,
    only: Sequence[str] = (),
    most: int | None = None,
    environment: Mapping[str, str] | None = None,
    app: str = PRODUCT,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Torment a stack for ``seconds``, or with ``most`` faults, whichever ends first.

    Faults that need another topology have a stack of their own after the first one, and their share of the time and of
    the faults: at least one.

    Parameters:
        state_dir: for logs, Redis' files.
        seed: of the choice of faults and of their details.
        only: kinds to choose from; all by default.
        environment: settings of the roles.
        app: what the nodes run (:class:`tools.chaos.lab.Lab`).
    """
    outcomes = []
    chosen = parts(only)
    for topology, kinds in chosen.items():
        share = len(kinds) / sum(map(len, chosen.values()))
        folder = state_dir / topology if len(chosen) > 1 else state_dir
        order = rounds(kinds if only else (), random.Random(seed), among=kinds)
        some = None if most is None else max(round(most * share), 1)
        with Lab(folder, environment or {}, topology, app) as lab:
            outcomes.append(_torment(lab, order, random.Random(seed + 1), seconds * share, some, say))
    return merged(outcomes)


def _torment(
    lab: Lab,
    order: Iterator[str],
    chance: random.Random,
    seconds: float,
    most: int | None,
    say: Callable[[str], None],
) -> Outcome:
    """Commit the faults that ``order`` gives on one stack."""
    unsettled: list[str] = []
    conflicts: Counter[str] = Counter()
    with ExitStack() as context:
        lab.start()
        recorder = context.enter_context(Recorder(LOOPBACK, *lab.redis_ports))
        recorder.records.append(Began(time.time(), lab.topology))
        context.enter_context(Truth(lab.ws_url, lab.http_url, lab.symbols, recorder.records))
        context.enter_context(StallWatch(recorder.records))
        scene = Scene(lab, recorder, chance, say)
        if not scene.settle(START_S):
            raise LabError(f"the stack did not come up within {START_S:g} s; see the logs in {lab.state_dir}/logs")
        context.enter_context(MemoryWatch(recorder.records, lab.pids))
        conflicts["start"] = scene.conflicts_seen()
        started, done = time.monotonic(), 0
        while time.monotonic() - started < seconds and (most is None or done < most):
            name = next(order)
            commit = BY_NAME[name].commit
            assert commit is not None
            done += 1
            before = len(recorder.records)
            commit(scene)
            settled = scene.settle()
            conflicts[name] += scene.conflicts_seen()
            if not settled:
                unsettled.append(name)
            say(_line(done, time.monotonic() - started, recorder.records[before:], settled))
    outcome = judge(recorder.records)
    outcome.verdict.violations += scene.found
    outcome.conflicts, outcome.unsettled = conflicts, unsettled
    return outcome


def _line(number: int, at_s: float, records: Sequence[Record], settled: bool) -> str:
    """What one fault did, in a line."""
    told = {(fault.kind, fault.victim): fault.note for fault in records if isinstance(fault, Injected)}
    worst: dict[str, float] = {}
    for gap in gaps(records):
        worst[gap.kind] = max(gap.longest_ms, worst.get(gap.kind, 0.0))
    parts = []
    for (kind, victim), note in told.items():
        times = sum(isinstance(fault, Injected) and fault.kind == kind for fault in records)
        note = note if times == 1 else f"{times} times"  # noqa: PLW2901
        parts.append(f"{kind} {victim} {note}".strip() + f": gap {worst.get(kind, 0.0):.0f} ms")
    return f"{at_s:7.1f} s  #{number} {'; '.join(parts)}{'' if settled else '; NOT WELL AGAIN'}"

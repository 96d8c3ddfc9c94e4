"""Injects faults at random, one after the other, into a stack that is recorded throughout."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tickfence.instrument import DEFAULT_VENUE, split
from tools.chaos.checker import Verdict, check
from tools.chaos.deployment import PRODUCT, Topology
from tools.chaos.faults import BY_NAME, CHOSEN
from tools.chaos.faults.redis_server import ALSO_BEHIND_SENTINEL
from tools.chaos.gaps import Gap, gaps
from tools.chaos.history import Injected, Record, StackStarted, stacks
from tools.chaos.injector import Injector
from tools.chaos.machine import MemorySampler, StallSampler
from tools.chaos.recorder import Recorder
from tools.chaos.recordings_check import RecordingsVerdict
from tools.chaos.recordings_watch import RecordingsWatch
from tools.chaos.reference_books import ReferenceBooks
from tools.chaos.reference_streams import DIALECTS, ReferenceStreams
from tools.chaos.stack_under_test import StackError, StackUnderTest
from tools.local.ports import LOOPBACK

START_S = 60.0
VENUES = (DEFAULT_VENUE, *DIALECTS)


@dataclass
class Outcome:
    """What a campaign found.

    Attributes:
        records: the history.
        verdict: of the history checker, with what faults found in stored data.
        gaps: of every fault.
        faults: kind -> how many.
        conflicts: kind of fault -> leases that all nodes refused as conflicts after it.
        unsteady: kinds of faults after which the stack did not become steady again.
        recordings: what the recorders' files show; ``None`` without recorders.
    """

    records: list[Record]
    verdict: Verdict
    gaps: list[Gap]
    faults: Counter[str]
    conflicts: Counter[str] = field(default_factory=Counter)
    unsteady: list[str] = field(default_factory=list)
    recordings: RecordingsVerdict | None = None

    @property
    def chosen(self) -> int:
        """Number of faults that were chosen, without those that followed from them."""
        return sum(count for kind, count in self.faults.items() if kind not in BY_NAME or BY_NAME[kind].inject)

    @property
    def undue_conflicts(self) -> int:
        """Conflicts that no fault explains."""
        return sum(
            count for kind, count in self.conflicts.items() if kind not in BY_NAME or not BY_NAME[kind].conflicts
        )


def judge(records: Sequence[Record]) -> Outcome:
    """What a history shows. The history of each stack is judged separately."""
    return merged([_judge(stack) for stack in stacks(records)])


def _judge(records: Sequence[Record]) -> Outcome:
    faults = Counter(record.kind for record in records if isinstance(record, Injected))
    return Outcome(list(records), check(records), gaps(records), faults)


def merged(outcomes: Iterable[Outcome]) -> Outcome:
    """One outcome of several stacks."""
    whole = Outcome([], Verdict(), [], Counter())
    for one in outcomes:
        whole.records += one.records
        whole.verdict += one.verdict
        whole.gaps += one.gaps
        whole.faults += one.faults
        whole.conflicts.update(one.conflicts)
        whole.unsteady += one.unsteady
        if one.recordings:
            whole.recordings = whole.recordings or RecordingsVerdict()
            whole.recordings += one.recordings
    return whole


def parts(only: Sequence[str] = (), *, record: bool = False) -> dict[Topology, list[str]]:
    """Topology -> kinds of faults to inject there, without topologies that have none.

    Args:
        only: kinds to choose from; all by default.
        record: whether the stacks have recorders.
    """
    names = [name for name in only or CHOSEN if record or not BY_NAME[name].recorded]
    found = {topology: [name for name in names if BY_NAME[name].topology is topology] for topology in Topology}
    if not only:
        found[Topology.SENTINEL] += ALSO_BEHIND_SENTINEL
    return {topology: kinds for topology, kinds in found.items() if kinds}


def rounds(only: Sequence[str], rng: random.Random, among: Sequence[str] = CHOSEN) -> Iterator[str]:
    """Endless rounds of kinds of faults, each round in another order.

    A kind is in every n-th round (:attr:`tools.chaos.injector.FaultKind.every_nth_round`), or in every round if
    ``only`` names it.

    Args:
        only: kinds for every round.
        rng: for the order.
        among: kinds to choose from without ``only``.
    """
    for number in count(1):
        kinds = [name for name in among if number % BY_NAME[name].every_nth_round == BY_NAME[name].every_nth_round // 2]
        kinds = list(only) or kinds
        yield from rng.sample(kinds, len(kinds))


def run(
    state_dir: Path,
    *,
    seed: int,
    seconds: float,
    only: Sequence[str] = (),
    max_faults: int | None = None,
    environment: Mapping[str, str] | None = None,
    app: str = PRODUCT,
    record: bool = False,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Run a campaign until its time is over or it has injected enough faults.

    Each topology has its own stack, one after the other, and a share of the time and of the faults: at least one fault.

    Args:
        state_dir: for logs and the files of Redis.
        seed: of the choice of faults and of their details.
        seconds: how long to inject faults.
        only: kinds to choose from; all by default.
        max_faults: how many faults at most; no limit by default.
        environment: settings of the roles.
        app: what the nodes run (see :class:`tools.chaos.stack_under_test.StackUnderTest`).
        record: whether recorders write all market data to files, which are compared with what was in Redis.
        say: gets a line after each fault.

    Raises:
        StackError: the stack does not start, or is not as a fault needs it.
    """
    outcomes = []
    chosen = parts(only, record=record)
    for topology, kinds in chosen.items():
        share = len(kinds) / sum(map(len, chosen.values()))
        folder = state_dir / topology if len(chosen) > 1 else state_dir
        order = rounds(kinds if only else (), random.Random(seed), among=kinds)
        max_here = None if max_faults is None else max(round(max_faults * share), 1)
        with StackUnderTest(folder, environment or {}, topology, app, record=record) as stack:
            outcomes.append(_run(stack, order, random.Random(seed + 1), seconds * share, max_here, say))
    return merged(outcomes)


def _run(
    stack: StackUnderTest,
    order: Iterator[str],
    rng: random.Random,
    seconds: float,
    max_faults: int | None,
    say: Callable[[str], None],
) -> Outcome:
    """Inject the faults that ``order`` gives into one stack."""
    unsteady: list[str] = []
    conflicts: Counter[str] = Counter()
    with ExitStack() as context:
        to = stack.deployment.recordings
        watch = context.enter_context(RecordingsWatch(stack, to)) if to else None
        stack.start()
        recorder = context.enter_context(Recorder(stack.settings.keys, LOOPBACK, *stack.redis_ports))
        recorder.records.append(StackStarted(time.time(), stack.deployment.topology))
        names = {venue: [name for of, name in map(split, stack.symbols) if of == venue] for venue in VENUES}
        context.enter_context(ReferenceBooks(stack.ws_url, stack.http_url, names[DEFAULT_VENUE], recorder.records))
        for venue in DIALECTS:
            if names[venue]:
                context.enter_context(ReferenceStreams(venue, stack.ws_url, names[venue], recorder.records))
        context.enter_context(StallSampler(recorder.records))
        injector = Injector(stack, recorder, rng)
        if not injector.await_steady(START_S):
            raise StackError(f"the stack is not steady after {START_S:g} s; see the logs in {stack.state_dir}/logs")
        injector.await_ingests()
        context.enter_context(MemorySampler(recorder.records, stack.pids))
        conflicts["start"] = injector.new_conflicts()
        started, done = time.monotonic(), 0
        while time.monotonic() - started < seconds and (max_faults is None or done < max_faults):
            name = next(order)
            inject = BY_NAME[name].inject
            assert inject is not None
            done += 1
            before = len(recorder.records)
            inject(injector)
            is_steady = injector.await_steady()
            conflicts[name] += injector.new_conflicts()
            if not is_steady:
                unsteady.append(name)
            say(_line(done, time.monotonic() - started, recorder.records[before:], is_steady))
        lives, recordings = watch.judge() if watch else ([], None)
        recorder.records += lives
    outcome = judge(recorder.records)
    outcome.verdict.violations += injector.violations
    outcome.conflicts, outcome.unsteady, outcome.recordings = conflicts, unsteady, recordings
    outcome.verdict.violations += recordings.violations if recordings else []
    return outcome


def _line(number: int, at_s: float, records: Sequence[Record], is_steady: bool) -> str:
    """The effects of one fault, in a line."""
    faults = {(fault.kind, fault.victim): fault.note for fault in records if isinstance(fault, Injected)}
    worst: dict[str, float] = {}
    for gap in gaps(records):
        worst[gap.kind] = max(gap.longest_ms, worst.get(gap.kind, 0.0))
    parts = []
    for (kind, victim), note in faults.items():
        times = sum(isinstance(fault, Injected) and fault.kind == kind for fault in records)
        note = note if times == 1 else f"{times} times"  # noqa: PLW2901
        parts.append(f"{kind} {victim} {note}".strip() + f": gap {worst.get(kind, 0.0):.0f} ms")
    return f"{at_s:7.1f} s  #{number} {'; '.join(parts)}{'' if is_steady else '; NOT STEADY AGAIN'}"

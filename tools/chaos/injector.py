"""What faults work with: the stack under test, the recorded history, a random generator, and waiting for recovery."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from tickfence.instrument import split
from tools.chaos.checker import Violation
from tools.chaos.conflicts import Conflicts
from tools.chaos.deployment import Topology
from tools.chaos.history import Acquisition, Injected
from tools.chaos.recorder import Recorder
from tools.chaos.stack_under_test import StackUnderTest
from tools.local.roles import INGESTS, NODES

STEADY_TIMEOUT_S = 30.0
MIN_FREEZE_S, MAX_FREEZE_S = 2.0, 10.0
_RECOVERY_TIMEOUT_S = 20.0
_QUIET_S = 1.0
_POLL_S = 0.01
_FRESH_S = 0.6


def _stop_at_once(stack: StackUnderTest, name: str) -> float:
    return stack.signal(name, signal.SIGSTOP)


class Injector:
    """Records when faults begin and end, and waits for the stack to recover.

    Args:
        stack: where the faults are injected.
        recorder: watches its Redis.
        rng: decides about the details of faults.

    Attributes:
        violations: those that show in what is stored, not in what is written.
    """

    def __init__(self, stack: StackUnderTest, recorder: Recorder, rng: random.Random) -> None:
        self.stack, self.recorder, self.rng = stack, recorder, rng
        self.violations: list[Violation] = []
        self._open: list[Injected] = []
        self._ended_at = 0.0
        self._not_wanted: frozenset[str] = frozenset()
        self._conflicts = Conflicts(NODES, stack.metric, stack.state_dir / "logs")
        self._new_conflicts = 0

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that are to be reported on."""
        return tuple(symbol for symbol in self.stack.symbols if symbol not in self._not_wanted)

    @contextmanager
    def without(self, symbols: Collection[str]) -> Iterator[None]:
        """Within the ``with`` block these symbols are removed or paused."""
        before, self._not_wanted = self._not_wanted, self._not_wanted.union(symbols)
        try:
            yield
        finally:
            self._not_wanted = before

    def owner(self, node: str) -> str:
        """The owner (``node/incarnation``) that a node is now; "" if it is not registered."""
        return self.stack.incarnations().get(node, "")

    def symbols_of(self, owner: str) -> tuple[str, ...]:
        """Symbols that are to be reported on and whose newest report is from this owner."""
        latest = self.recorder.latest
        return tuple(s for s in sorted(self.symbols) if s in latest and latest[s].owner == owner)

    def of_venues(self, *venues: str) -> tuple[str, ...]:
        """The symbols of some venues that are to be reported on."""
        return tuple(symbol for symbol in self.symbols if split(symbol)[0] in venues)

    @contextmanager
    def writer_lost(self, ingest: str) -> Iterator[None]:
        """Within the ``with`` block an ingest is lost: that is a fault of the symbols that it alone writes by then."""
        appended = {symbol: one.owner for symbol, one in self.recorder.appended.items() if symbol in self.symbols}
        led = {symbol: owner for symbol, owner in appended.items() if owner.partition("/")[0] == ingest}
        at = time.time()
        yield
        for symbol, owner in led.items():
            self.begin_fault("writer-lost", at, (symbol,), victim=ingest, owner_gone=owner, appends=True)

    def random_node(self) -> tuple[str, str, tuple[str, ...]]:
        """A node at random: its id, its owner, its symbols."""
        return self.node(self.rng.choice(NODES))

    def node(self, name: str) -> tuple[str, str, tuple[str, ...]]:
        """The id, the owner and the symbols of a node."""
        self._new_conflicts += self._conflicts.count_new()  # a fault may end the process, and its metrics with it
        owner = self.owner(name)
        return name, owner, self.symbols_of(owner)

    def begin_fault(
        self,
        kind: str,
        at: float,
        symbols: Collection[str],
        *,
        victim: str = "",
        owner_gone: str = "",
        fresh: bool = False,
        counts_from: float | None = None,
        note: str = "",
        appends: bool = False,
    ) -> Injected:
        """Note that a fault began. :meth:`await_recovery` or the next :meth:`await_steady` ends it.

        Args:
            kind: name of a :class:`FaultKind`.
            at: when it began: Unix time, s.
            symbols: those that may lack reports because of it.
            victim: see :class:`tools.chaos.history.Injected`, as for the others.
            owner_gone: see there.
            fresh: see there.
            counts_from: see there; ``at`` by default.
            note: see there.
            appends: see there.
        """
        after = counts_from or at
        fault = Injected(at, kind, tuple(symbols), after, 0.0, victim, owner_gone, fresh, note, appends)
        self._open.append(fault)
        return fault

    def end_fault(self, fault: Injected) -> None:
        """End a fault: its gaps are measured until now."""
        self._open.remove(fault)
        self._ended_at = time.time()
        self.recorder.records.append(msgspec.structs.replace(fault, until=time.time()))

    def await_recovery(
        self, fault: Injected, steady_s: float = 0.6, but_not: str = "", timeout_s: float = _RECOVERY_TIMEOUT_S
    ) -> None:
        """Wait until every symbol of a fault has a report again and for ``steady_s`` more, then end the fault.

        Args:
            fault: the fault.
            steady_s: how long to go on measuring, s.
            but_not: an owner whose reports are no recovery, although they end gaps.
            timeout_s: how long to wait, s.
        """
        before = {symbol: write.update_id or 0 for symbol, write in self.recorder.latest.items()}

        def has_recovered(symbol: str) -> bool:
            write = self.recorder.latest.get(symbol)
            return (
                write is not None
                and write.time > fault.counts_from
                and write.owner not in (fault.owner_gone, but_not)
                and (not fault.fresh or (write.update_id or 0) != before.get(symbol, 0))
            )

        deadline = time.monotonic() + timeout_s
        while not all(has_recovered(symbol) for symbol in fault.symbols) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        time.sleep(steady_s)
        self.end_fault(fault)

    def await_steady(self, timeout_s: float = STEADY_TIMEOUT_S) -> bool:
        """Wait until every symbol has new reports, every node writes some, and no lease moves; ends all faults.

        Args:
            timeout_s: how long to wait.

        Returns:
            Whether the stack became steady in time.
        """
        deadline = time.monotonic() + timeout_s
        since: float | None = None
        while time.monotonic() < deadline:
            if not self._is_steady():
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since > _QUIET_S:
                break
            time.sleep(_POLL_S)
        for fault in tuple(self._open):
            self.end_fault(fault)
        return since is not None and time.monotonic() < deadline

    def new_conflicts(self) -> int:
        """Number of leases refused as conflicts since the last call."""
        found, self._new_conflicts = self._new_conflicts + self._conflicts.count_new(), 0
        return found

    def restart_node(self, name: str) -> Injected:
        """Start a node again; its return is a fault of the kind ``node-join``."""
        return self.begin_fault("node-join", self.stack.start_role(name), self.symbols, victim=name)

    def has_all_books(self, ingest: str) -> bool:
        """Whether an ingest could write every symbol, or does."""
        return self.stack.metric(ingest, "nt_ingest_books_in_sync") == len(self.symbols)

    def await_ingests(self) -> None:
        """Wait until both ingests have all books: while one has not, the other one is alone."""
        deadline = time.monotonic() + STEADY_TIMEOUT_S
        while not all(map(self.has_all_books, INGESTS)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def check_streams(self, since: float) -> None:
        """Check that the book diffs that ingests have written since then connect; a gap is a violation.

        Those of symbols that only one ingest may write are recorded one by one: :mod:`tools.chaos.appends`.

        Args:
            since: Unix time, s.
        """
        keys = self.stack.settings.keys
        with self.stack.client() as client:
            for symbol in self.symbols:
                if symbol in self.recorder.appended:
                    continue
                entries = client.xrange(keys.book(symbol), min=f"{int(since * 1000) - 1000}-0")
                ids = [(int(fields[b"U"]), int(entry_id.split(b"-")[1])) for entry_id, fields in entries]
                for (_, last), (first, _) in pairwise(ids):
                    if first != last + 1:
                        detail = f"a diff that starts at {first} follows one that ends at {last}"
                        self.violations.append(Violation(since, symbol, "gap in the stream", detail))

    def await_no_voluntary_moves(self) -> None:
        """Wait until the leader has no voluntary move left to make.

        It moves symbols some seconds after a node joins; if a fault takes Redis or the lead, as long after that.
        """
        settings = self.stack.settings
        quiet_s = (settings.nt_min_hold_ms + settings.nt_rebalance_interval_ms) / 1000 + _POLL_S
        deadline = time.monotonic() + STEADY_TIMEOUT_S
        while time.time() - max(self.recorder.acquired_at, self._ended_at) < quiet_s and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def check_nothing_moved(self, fault: Injected, owner: str) -> None:
        """Check that no symbol got another owner since ``fault``, which did not end ``owner``; a move is a violation."""
        for record in reversed(self.recorder.records):
            if record.time < fault.time:
                return
            if isinstance(record, Acquisition):
                detail = f"{record.owner} took it because of {fault.kind} of {owner}"
                self.violations.append(Violation(record.time, record.symbol, "moved without a reason", detail))

    def freeze(
        self,
        name: str,
        seconds: float,
        kinds: tuple[str, str],
        symbols: Collection[str],
        owner: str = "",
        stop: Callable[[StackUnderTest, str], float] = _stop_at_once,
    ) -> None:
        """Stop a role's process for a while, then let it go on.

        Args:
            name: of the role.
            seconds: how long it is stopped.
            kinds: of the fault that the stop is, and of the one that its waking is.
            symbols: those that may lack reports because of the stop.
            owner: the owner that is stopped, "" if it is none.
            stop: stops the process of a role and returns when; SIGSTOP at once by default.
        """
        kind, wake = kinds
        at = stop(self.stack, name)
        fault = self.begin_fault(kind, at, symbols, victim=name, owner_gone=owner, note=f"{seconds:.1f} s")
        try:
            self.await_recovery(fault)
            time.sleep(max(0.0, at + seconds - time.time()))
        finally:
            woken = self.stack.signal(name, signal.SIGCONT)
        self.begin_fault(wake, woken, self.symbols, victim=name)

    def _is_steady(self) -> bool:
        now, latest = time.time(), self.recorder.latest
        writes = [latest[symbol] for symbol in self.symbols if symbol in latest]
        return (
            len(writes) == len(self.symbols)
            and all(now - write.time < _FRESH_S for write in writes)
            and now - self.recorder.acquired_at > _QUIET_S
            and {write.owner.partition("/")[0] for write in writes} == set(NODES)
        )


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault.

    Attributes:
        name: on the command line (``--only``) and in the table.
        budget_ms: how long a symbol may lack a report from the fault on; ``None``: it is measured and has no budget.
        inject: injects it and waits for its effects. ``None``: it is never chosen, but follows from another kind.
        description: what it does, in a few words.
        skip: why it cannot be injected on this machine, or "".
        every_nth_round: it is chosen in every n-th round only.
        topology: of the stack that it needs.
        conflicts: whether leases may be refused as conflicts because of it.
        recorded: whether the stack must have recorders.
    """

    name: str
    budget_ms: float | None
    inject: Callable[[Injector], None] | None
    description: str
    skip: str = ""
    every_nth_round: int = 1
    topology: Topology = Topology.SINGLE
    conflicts: bool = False
    recorded: bool = False

    @property
    def can_be_chosen(self) -> bool:
        """Whether a campaign may inject it on this machine."""
        return self.inject is not None and not self.skip

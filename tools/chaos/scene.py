"""What a fault works with: the lab, the record of what is written, chance, and waiting for what is seen to happen."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Collection
from itertools import pairwise

import msgspec

from tickfence.streams.keys import book_key
from tools.chaos.checker import Violation
from tools.chaos.conflicts import Conflicts
from tools.chaos.history import Injected, Take, Write
from tools.chaos.lab import Lab
from tools.chaos.recorder import Recorder
from tools.local.roles import NODES

SETTLE_S = 30.0
_RECOVER_S = 20.0
_QUIET_S = 1.0
_POLL_S = 0.01


class Scene:
    """One campaign's place and time.

    Attributes:
        found: violations that show in what is stored, not in what is written.
    """

    def __init__(self, lab: Lab, recorder: Recorder, chance: random.Random, say: Callable[[str], None]) -> None:
        self.lab, self.recorder, self.chance, self.say = lab, recorder, chance, say
        self.found: list[Violation] = []
        self._open: list[Injected] = []
        self._conflicts = Conflicts(NODES, lab.metric, lab.state_dir / "logs")
        self._conflicts_seen = 0

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.lab.symbols

    def owner(self, node: str) -> str:
        """The owner that a node is now: ``node/incarnation``."""
        return self.lab.incarnations().get(node, "")

    def symbols_of(self, owner: str) -> tuple[str, ...]:
        """Symbols whose newest report an owner wrote."""
        return tuple(s for s, write in sorted(self.recorder.latest.items()) if write.owner == owner)

    def a_node(self) -> tuple[str, str, tuple[str, ...]]:
        """Some node that writes: its id, its owner, its symbols."""
        return self.node(self.chance.choice(NODES))

    def node(self, name: str) -> tuple[str, str, tuple[str, ...]]:
        """A node's id, owner and symbols."""
        self._conflicts_seen += self._conflicts.look()  # what its metrics tell ends with it
        owner = self.owner(name)
        return name, owner, self.symbols_of(owner)

    def hurt(
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
    ) -> Injected:
        """A fault begins. :meth:`recovered` or the next :meth:`settle` ends it."""
        fault = Injected(at, kind, tuple(symbols), counts_from or at, 0.0, victim, owner_gone, fresh=fresh, note=note)
        self._open.append(fault)
        return fault

    def recovered(self, fault: Injected, steady_s: float = 0.6, but_not: str = "") -> None:
        """Wait until every symbol it concerns has a report again, and a little longer; the fault ends there.

        ``but_not``: an owner whose reports do not show that all is well, though they end gaps.
        """
        before = {s: w.update_id or 0 for s, w in self.recorder.latest.items()}

        def well(symbol: str) -> bool:
            write = self.recorder.latest.get(symbol)
            return (
                write is not None
                and write.time > fault.counts_from
                and write.owner not in (fault.owner_gone, but_not)
                and (not fault.fresh or (write.update_id or 0) > before.get(symbol, 0))
            )

        deadline = time.monotonic() + _RECOVER_S
        while not all(well(symbol) for symbol in fault.symbols):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        time.sleep(steady_s)
        self.end(fault)

    def settle(self, timeout_s: float = SETTLE_S) -> bool:
        """Wait until all is as before: every symbol has new reports, each node writes some, nothing moves."""
        deadline = time.monotonic() + timeout_s
        since: float | None = None
        while time.monotonic() < deadline:
            if not self._calm():
                since = None
            elif since is None:
                since = time.monotonic()
            elif time.monotonic() - since > _QUIET_S:
                break
            time.sleep(_POLL_S)
        for fault in tuple(self._open):
            self.end(fault)
        return since is not None and time.monotonic() < deadline

    def conflicts_seen(self) -> int:
        """Leases refused as conflicts since this was last asked."""
        seen, self._conflicts_seen = self._conflicts_seen + self._conflicts.look(), 0
        return seen

    def restart_node(self, name: str) -> Injected:
        """Start a node again, and note what its joining does to the others."""
        return self.hurt("node-join", self.lab.start_role(name), self.symbols, victim=name)

    def check_streams(self, since: float) -> None:
        """Note every place where the diffs that ingest wrote since then do not connect."""
        with self.lab.client() as client:
            for symbol in self.symbols:
                entries = client.xrange(book_key(symbol), min=f"{int(since * 1000) - 1000}-0")
                ids = [(int(fields[b"U"]), int(entry_id.split(b"-")[1])) for entry_id, fields in entries]
                for (_, last), (first, _) in pairwise(ids):
                    if first != last + 1:
                        detail = f"a diff that starts at {first} follows one that ends at {last}"
                        self.found.append(Violation(since, symbol, "gap in the stream", detail))

    def rest(self) -> None:
        """Wait until no voluntary move is to be expected: one follows a node's joining after some seconds."""
        settings = self.lab.settings
        quiet_s = (settings.nt_min_hold_ms + settings.nt_rebalance_interval_ms) / 1000 + _POLL_S
        deadline = time.monotonic() + SETTLE_S
        while time.time() - self.recorder.taken_at < quiet_s and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def check_nothing_moved(self, fault: Injected, owner: str) -> None:
        """Note every symbol that changed hands since ``fault`` though ``owner`` was alive all the time."""
        for record in reversed(self.recorder.records):
            if record.time < fault.time:
                return
            if isinstance(record, Take):
                detail = f"{record.owner} took it because of {fault.kind} of {owner}"
                self.found.append(Violation(record.time, record.symbol, "moved for nothing", detail))

    def freeze(
        self,
        name: str,
        seconds: float,
        fault: Callable[[float], Injected],
        wake: str,
        stop: Callable[[], float] | None = None,
    ) -> None:
        """Stop a role's process for a while; what its waking does is noted as ``wake``.

        ``stop``: stops it, and returns when; a SIGSTOP at any moment by default.
        """
        at = stop() if stop else self.lab.signal(name, signal.SIGSTOP)
        injected = fault(at)
        try:
            self.recovered(injected)
            time.sleep(max(0.0, at + seconds - time.time()))
        finally:
            woken = self.lab.signal(name, signal.SIGCONT)
        self.hurt(wake, woken, self.symbols, victim=name)

    def _calm(self) -> bool:
        now, latest = time.time(), self.recorder.latest
        writes: list[Write] = [latest[s] for s in self.symbols if s in latest]
        return (
            len(writes) == len(self.symbols)
            and all(now - write.time < 0.6 for write in writes)
            and now - self.recorder.taken_at > _QUIET_S
            and {write.owner.partition("/")[0] for write in writes} == set(NODES)
        )

    def end(self, fault: Injected) -> None:
        """A fault's gaps are measured to here."""
        self._open.remove(fault)
        self.recorder.records.append(msgspec.structs.replace(fault, until=time.time()))

"""Which partition goes to which batch worker, and when one is sent again. No I/O.

Each partition has at most one dispatch that counts, under a generation of its own. A worker that takes the partition's
lease in an older generation is fenced out by the next one, so whatever is judged wrongly here costs work done twice, and
never a report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from tickfence.batch.job import Done, Failed, Result
from tickfence.coordination.hrw import scores
from tickfence.coordination.lease import LeaseRecord
from tickfence.coordination.membership import NodeRecord
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument

ATTEMPTS = 3
"""A partition that has failed so often is set aside."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
"""What has failed is tried again after this long; twice as long each time."""
AHEAD = 2
"""How many partitions a worker has at most: the one that it works on, and the next."""
LOST_AFTER_S = 5.0
"""A message that an idle worker has not taken by then is lost."""
NO_PROGRESS_S = 300.0
"""A worker that lives, and has not renewed its lease for this long, makes no progress."""


class Sent(NamedTuple):
    """A dispatch.

    Attributes:
        owner: the worker it was sent to.
        generation: its number.
    """

    owner: Owner
    generation: int


class Seen(NamedTuple):
    """What Redis shows of a partition.

    Attributes:
        result: how it ended, if it has.
        lease: who may record that.
    """

    result: Result | None = None
    lease: LeaseRecord = LeaseRecord()


class Verdict(NamedTuple):
    """A partition whose worker is to be fenced out.

    Attributes:
        name: the partition's.
        worker: who holds its lease.
        generation: in which it got the lease.
        reason: why, in one line.
        attempts: how many have failed, this one included.
    """

    name: str
    worker: str
    generation: int
    reason: str
    attempts: int


class Unit:
    """What the scheduler knows of one partition.

    Attributes:
        sent: the dispatch that counts, if there is one.
        result: how it ended, or how the last attempt failed.
        running: the worker that holds its lease in that dispatch's generation.
    """

    __slots__ = ("forgiven", "generation", "lease_until", "not_before_s", "result", "running", "sent", "since_s")

    def __init__(self) -> None:
        self.sent: Sent | None = None
        self.result: Result | None = None
        self.running: Owner | None = None
        self.generation = 0
        self.forgiven = 0
        self.not_before_s = 0.0
        self.since_s = 0.0
        self.lease_until = 0

    @property
    def attempts(self) -> int:
        """How many attempts have failed."""
        return self.result.attempts if isinstance(self.result, Failed) else 0

    @property
    def set_aside(self) -> bool:
        """Whether it failed too often."""
        return self.attempts - self.forgiven >= ATTEMPTS

    @property
    def ended(self) -> bool:
        """Whether nothing is to be done with it any more."""
        return isinstance(self.result, Done) or self.set_aside


class Scheduler:
    """Sends out the partitions of one job, as seen by the command that watches it.

    Args:
        names: of the partitions, in order.
        silent_s: a worker that is not among the live ones for this long is dead. It bridges a step of Redis's clock.
    """

    def __init__(self, names: Sequence[str], *, silent_s: float) -> None:
        self.units = {name: Unit() for name in names}
        self._silent_s = silent_s
        self._last_live: dict[Owner, float] = {}

    @property
    def outstanding(self) -> list[str]:
        """The partitions that are sent and have not ended, which is what to look up."""
        return [name for name, unit in self.units.items() if unit.sent and not unit.ended]

    @property
    def over(self) -> bool:
        """Whether every partition has ended."""
        return all(unit.ended for unit in self.units.values())

    @property
    def done(self) -> dict[str, Done]:
        """The finished partitions."""
        return {name: unit.result for name, unit in self.units.items() if isinstance(unit.result, Done)}

    @property
    def set_aside(self) -> dict[str, Failed]:
        """The partitions that failed too often, with their last failures."""
        return {
            name: unit.result for name, unit in self.units.items() if unit.set_aside and isinstance(unit.result, Failed)
        }

    def begin(self, name: str, seen: Seen, sent: Sent | None, now_s: float) -> None:
        """Take over what is stored of a partition. One that was set aside gets its attempts again."""
        unit = self.units[name]
        unit.result = seen.result
        unit.forgiven = unit.attempts
        unit.generation = max(seen.lease.generation, sent.generation if sent else 0)
        unit.running = None
        unit.sent = None if unit.ended else sent
        unit.since_s = now_s

    def take(self, name: str, result: Result, now_s: float) -> None:
        """Note how a partition, or an attempt at it, ended."""
        unit = self.units[name]
        unit.result, unit.sent, unit.running = result, None, None
        if isinstance(result, Failed):
            unit.generation = max(unit.generation, result.generation)
            pause_s = FIRST_PAUSE_S * 2.0 ** min(10, unit.attempts - unit.forgiven - 1)
            unit.not_before_s = now_s + min(LONGEST_PAUSE_S, pause_s)

    def look(self, seen: Mapping[str, Seen], workers: Sequence[NodeRecord], now_s: float) -> Iterator[Verdict]:
        """Judge the outstanding partitions; yield those whose worker is to be fenced out.

        Args:
            seen: what Redis shows of them.
            workers: those that live.
            now_s: monotonic seconds.
        """
        live = {worker.owner: worker for worker in workers}
        self._last_live |= dict.fromkeys(live, now_s)
        for name, found in seen.items():
            unit = self.units[name]
            if unit.sent is not None and (verdict := self._judge(name, unit, unit.sent, found, live, now_s)):
                yield verdict

    def _judge(
        self, name: str, unit: Unit, sent: Sent, seen: Seen, live: Mapping[Owner, NodeRecord], now_s: float
    ) -> Verdict | None:
        result, lease = seen.result, seen.lease
        unit.generation = max(unit.generation, lease.generation)
        if isinstance(result, Done) or (isinstance(result, Failed) and result.generation >= sent.generation):
            self.take(name, result, now_s)
        elif lease.generation < sent.generation:  # nobody has taken it yet
            unit.running = None
            worker = live.get(sent.owner)
            idle = worker is not None and not worker.working and now_s - unit.since_s > LOST_AFTER_S
            if idle or self._dead(sent.owner, live, now_s):
                unit.sent = None
        elif not lease.owner:  # given back
            unit.sent = unit.running = None
        else:
            holder = Owner.parse(lease.owner)
            if (holder, lease.until_ms) != (unit.running, unit.lease_until):
                unit.running, unit.lease_until, unit.since_s = holder, lease.until_ms, now_s
            reason = ""
            if self._dead(holder, live, now_s):
                reason = f"its worker {holder.node} died"
            elif now_s - unit.since_s > NO_PROGRESS_S:
                reason = f"its worker {holder.node} made no progress for {NO_PROGRESS_S:.0f} s"
            if reason:
                return Verdict(name, str(holder), lease.generation, reason, unit.attempts + 1)
        return None

    def _dead(self, owner: Owner, live: Mapping[Owner, NodeRecord], now_s: float) -> bool:
        if owner in live:
            return False
        if any(other.node == owner.node for other in live):
            return True  # a process that was started later has its id
        return now_s - self._last_live.setdefault(owner, now_s) >= self._silent_s

    def assign(self, workers: Sequence[NodeRecord], now_s: float, server_ms: int) -> Iterator[tuple[str, Sent]]:
        """Yield what to send now, each partition with its dispatch.

        A partition goes to the worker with the highest score (rendezvous hashing) among those that have the fewest. When
        all are sent, an idle worker also gets one that waits for a busy one: whoever begins first has it.

        Args:
            workers: those that live.
            now_s: monotonic seconds.
            server_ms: the Redis server's time, for the generations.
        """
        if not workers:
            return
        load = Counter({worker.owner: 0 for worker in workers})
        for unit in self.units.values():
            if unit.sent and not unit.ended:
                load[unit.running or unit.sent.owner] += 1
        ready = [
            name
            for name, unit in self.units.items()
            if unit.sent is None and not unit.ended and unit.not_before_s <= now_s
        ]
        for name in ready:
            least = min(load[worker.owner] for worker in workers)
            if least >= AHEAD:
                return
            unit = self.units[name]
            unit.generation = max(unit.generation + 1, server_ms)
            owner = _highest(name, [worker for worker in workers if load[worker.owner] == least])
            load[owner] += 1
            yield name, self._send(unit, Sent(owner, unit.generation), now_s)
        if ready or any(unit.sent is None and not unit.ended for unit in self.units.values()):
            return
        idle = [worker for worker in workers if load[worker.owner] == 0]
        for name, unit in self.units.items():
            if idle and unit.sent and not unit.ended and unit.running is None and load[unit.sent.owner] > 1:
                owner = _highest(name, idle)
                idle = [worker for worker in idle if worker.owner != owner]
                load[unit.sent.owner] -= 1
                yield name, self._send(unit, Sent(owner, unit.sent.generation), now_s)

    @staticmethod
    def _send(unit: Unit, sent: Sent, now_s: float) -> Sent:
        unit.sent, unit.running, unit.since_s = sent, None, now_s
        return sent


def _highest(name: str, workers: Sequence[NodeRecord]) -> Owner:
    """The worker with the highest score for the partition called ``name``."""
    nodes, weights = [worker.owner.node for worker in workers], [worker.weight for worker in workers]
    return workers[int(scores([Instrument(name)], nodes, weights).argmax())].owner

"""A cycle's symbols in slices, spread over its period: no burst, and no node that works at once and then waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from celery.beat import ScheduleEntry

from beat_schedule.fan_out import slices
from tickfence.instrument import Instrument
from tickfence.settings import Settings

STEP_MS = 50
SYMBOLS_A_STEP = 8
"""So few symbols fall due at once rather than one after the other."""


@dataclass
class SlicedCycle:
    """One entry's symbols, and when each slice of them falls due.

    Attributes:
        slices: the symbols, in parts that fall due one after the other.
        most: messages a node gets of one slice, see :func:`beat_schedule.fan_out.fan_out`.
        urgent: whether its reports go before those of entries that are not, where not all can be had.
        steps: (monotonic seconds, number of a slice) of what is still to fall due, the next one first.
    """

    entry: ScheduleEntry
    slices: list[tuple[Instrument, ...]]
    most: int
    urgent: bool
    steps: deque[tuple[float, int]] = field(default_factory=deque)

    @classmethod
    def of(cls, entry: ScheduleEntry, task: Any, settings: Settings) -> SlicedCycle:
        """How ``entry`` is spread: ``task.spread``, as far as its period allows, or just enough to avoid a burst.

        The slices depend on the symbols alone, so that a change of nodes shifts no symbol in time.
        """
        symbols, cap = settings.symbols, settings.nt_max_tasks_per_cycle
        most = max(1, min(cap, entry.schedule.run_every // timedelta(milliseconds=STEP_MS)))
        count = most if task.spread else min(most, -(-len(symbols) // SYMBOLS_A_STEP))
        return cls(entry, slices(symbols, count), max(1, cap // count), urgent=not task.spread)

    def begin(self, entry: ScheduleEntry, now: float) -> None:
        """A cycle begins. Slices of the one before that are overdue fall due with it; it takes the place of others."""
        self.entry = entry
        period, count = entry.schedule.run_every.total_seconds(), len(self.slices)
        overdue = (step for step in self.steps if step[0] <= now)
        self.steps = deque([*overdue, *((now + i * period / count, i) for i in range(count))])

    def pop_due(self, now: float) -> list[int]:
        """Numbers of the slices whose time has come."""
        due = []
        while self.steps and self.steps[0][0] <= now:
            due.append(self.steps.popleft()[1])
        return due

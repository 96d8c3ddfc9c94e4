"""A cycle's symbols, spread over its period: no burst, and no node that works at once and then waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from celery.beat import ScheduleEntry

from beat_schedule.fan_out import slices
from beat_schedule.turns import Turns
from settings import Settings

STEP_S = 0.025
SYMBOLS_A_STEP = 8
"""So few symbols fall due at once rather than one after the other."""


@dataclass
class Spread:
    """One entry's symbols, and when each slice of them falls due.

    Attributes:
        most_waiting: messages that may wait for a node before no more are sent.
        steps: (monotonic seconds, number of a slice) of what is still to fall due, the next one first.
    """

    entry: ScheduleEntry
    turns: Turns
    most_waiting: int
    steps: deque[tuple[float, int]] = field(default_factory=deque)

    @classmethod
    def of(cls, entry: ScheduleEntry, task: Any, settings: Settings) -> Spread:
        """How ``entry`` is spread: ``task.spread``, as far as its period allows, or just enough to avoid a burst.

        The slices depend on the symbols alone, so that a change of nodes shifts no symbol in time.
        """
        symbols, cap = settings.symbols, settings.nt_max_tasks_per_cycle
        most = max(1, min(cap, int(entry.schedule.run_every.total_seconds() / STEP_S)))
        count = most if task.spread else min(most, -(-len(symbols) // SYMBOLS_A_STEP))
        messages = max(1, cap // count)
        # A slice may wait while another is worked on; a spread task, though more find room, is not crowded out.
        return cls(entry, Turns(slices(symbols, count), messages), max(2, messages) + bool(task.spread))

    def begin(self, entry: ScheduleEntry, now: float) -> None:
        """A cycle begins; slices of the one before that are overdue fall due with it."""
        self.entry = entry
        period, count = entry.schedule.run_every.total_seconds(), len(self.turns.slices)
        overdue = ((now, number) for _, number in self.steps)
        self.steps = deque([*overdue, *((now + i * period / count, i) for i in range(count))])

    def pop_due(self, now: float) -> list[int]:
        """Numbers of the slices whose time has come."""
        due = []
        while self.steps and self.steps[0][0] <= now:
            due.append(self.steps.popleft()[1])
        return due

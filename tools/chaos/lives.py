"""When the processes of some roles lived: from the kernel, which knows whether a process is dead or stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.chaos.history import Lived, Record
from tools.chaos.machine import Sampler

EVERY_S = 0.05
_NOT_LIVING = "TtZXx"
"""States of a process that is stopped, traced or dead: proc_pid_stat(5)."""


def lives(pid: int) -> bool:
    """Whether a process runs, and is not stopped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in _NOT_LIVING
    except OSError:
        return False


class LifeSampler(Sampler):
    """Appends a :class:`tools.chaos.history.Lived` at the end of each time without a break.

    Args:
        records: where to append.
        roles: whose processes.
        pids: returns role -> process id, 0 if it does not run.
    """

    def __init__(self, records: list[Record], roles: Sequence[str], pids: Callable[[], Mapping[str, int]]) -> None:
        super().__init__(records)
        self._roles, self._pids = roles, pids
        self._living: dict[str, Lived] = {}

    def sample(self) -> None:
        """Look at each process, again and again."""
        known: dict[str, int] = {}
        while not self.ended.wait(EVERY_S):
            if any(not Path(f"/proc/{known.get(role, 0)}").exists() for role in self._roles):
                known = dict(self._pids())
            for role in self._roles:
                self._note(role, known.get(role, 0), time.time())
        for role in self._roles:
            self._end(role)

    def _note(self, role: str, pid: int, now: float) -> None:
        life = self._living.get(role)
        if life and life.pid != pid:
            self._end(role)
            life = None
        if not pid or not lives(pid):
            self._end(role)
        else:
            self._living[role] = Lived(now, life.since if life else now, role, pid)

    def _end(self, role: str) -> None:
        if life := self._living.pop(role, None):
            self.records.append(life)

"""A fenced lease that one of several processes has, while the others stand by.

Nobody assigns it: each process asks, and Redis gives it to the first one. The rule is in ``lua/take.lua``, and
``lua/fenced_commands.lua`` runs commands only for the process that has the lease. :class:`StandbyLease` is what one process
knows of one lease. It does no I/O: any number of leases share a round trip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tickfence.coordination.lease import RELEASE
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import Script

TAKE = Script("coordination/lua/fencing.lua", "coordination/lua/take.lua")
FENCED_COMMANDS = Script("coordination/lua/fencing.lua", "coordination/lua/fenced_commands.lua")

RENEWALS = 3
"""A lease is renewed so often while it lasts."""
ASK_EVERY_S = 0.3
"""Time between two questions of a process that stands by: the lease may have been given back."""


class StandbyLease:
    """One process's part in a lease.

    A process that can do its work (it is *ready*) takes the lease from one that cannot, or that is behind with it.

    Args:
        key: of the lease.
        owner: this process start; no other has the same.
        ttl_ms: how long the lease lasts from each renewal. So long nobody has it after its owner died.

    Attributes:
        key: of the lease.
        token: fencing token; 0 while this process stands by.

    Example:
        >>> lease = StandbyLease("md:{kraken:BTC/USD}:writer", "ingest/5f0c", ttl_ms=600)
        >>> lease.due(now_s=0.0)
        True
        >>> command = lease.ask(ready=True)
        >>> lease.on_reply([1, 1700000000000], now_s=0.0)
        True
        >>> lease.token, lease.due(now_s=0.1), lease.due(now_s=0.2)
        (1700000000000, False, True)
    """

    __slots__ = ("_anew", "_ask_at", "_owner", "_seen", "_ttl_ms", "key", "token")

    def __init__(self, key: str, owner: str, ttl_ms: int) -> None:
        self.key = key
        self.token = 0
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._seen = 0
        self._ask_at = 0.0
        self._anew = False

    @property
    def renews(self) -> bool:
        """Whether the next :meth:`ask` only renews the lease that this process has."""
        return self.token > 0 and not self._anew

    def due(self, now_s: float) -> bool:
        """Whether to :meth:`ask` now."""
        return now_s >= self._ask_at

    def ask(self, *, ready: bool, behind: int = 0) -> Command:
        """The command that asks for the lease, or renews it. Its reply is for :meth:`on_reply`, or :meth:`on_no_reply`.

        Args:
            ready: whether this process can do the work.
            behind: the token of an owner that is behind with it; 0 if none is.
        """
        self._ask_at = math.inf
        goes_on_with = 0 if self._anew else self.token
        arguments = (self._owner, self._ttl_ms, goes_on_with, self._seen + 1, _flag(ready), behind)
        return TAKE.command([self.key], arguments)

    def on_reply(self, reply: Sequence[Any], now_s: float) -> bool:
        """Take the reply; return whether this process has got the lease now, with a new token."""
        granted, token, *left_ms = reply
        before, self.token = self.token, token if granted else 0
        self._seen = max(self._seen, token)
        self._anew = self._anew and self.token == before > 0  # it was wanted while a renewal was on its way
        pause_s = self._renew_s if granted else min(left_ms[0] / 1000, ASK_EVERY_S)
        self._ask_at = 0.0 if self._anew else now_s + pause_s
        return self.token not in (0, before)

    def on_no_reply(self, ask_at_s: float = 0.0) -> None:
        """Ask again, at once or at this time: Redis may have given the lease, or may not."""
        self._ask_at = ask_at_s

    def ask_again(self) -> None:
        """Ask for a new token soon, and go on with the old one until then."""
        if not self._anew:
            self._anew, self._ask_at = True, 0.0

    def see(self, token: int) -> None:
        """Learn of a token that some owner had. If it is not below this process's own, that one is given up."""
        self._seen = max(self._seen, token)
        if token >= self.token > 0:
            self.on_refused(self.token)

    def fenced(self, keys: Sequence[str], commands: Sequence[tuple[int, Command]] = (), *, ready: bool) -> Command:
        """Commands as one, which runs them only while this process has the lease. Its reply is for :meth:`on_fenced`.

        Args:
            keys: that the commands change, in the slot of the lease.
            commands: each with the number of its key, 0 for the first; the command itself leaves its key out. Further ones
                may be added to the end of what is returned, as :func:`fenced_arguments` has them.
            ready: as that of :meth:`ask`.
        """
        arguments = [part for number, command in commands for part in fenced_arguments(number, command)]
        head = (self._owner, self.token, self._ttl_ms, _flag(ready))
        return FENCED_COMMANDS.command([self.key, *keys], [*head, *arguments])

    def on_fenced(self, token: int, reply: Sequence[Any], now_s: float) -> Sequence[Any] | None:
        """Take the reply to fenced commands.

        Args:
            token: that they were sent under.
            reply: as Redis gave it.
            now_s: monotonic seconds.

        Returns:
            The reply to each command, or ``None`` if the lease was lost and nothing was done.
        """
        if not reply[0]:
            self.on_refused(token)
            return None
        if token == self.token and not self._anew and self._ask_at < math.inf:
            self._ask_at = now_s + self._renew_s
        return reply[1:]

    def on_refused(self, token: int) -> None:
        """Stand by, and ask at once: another process has the lease, or Redis has lost it."""
        if token == self.token:
            self.token, self._ask_at = 0, 0.0

    def release(self) -> Command:
        """The command that gives the lease back, if this process has it. After its reply call :meth:`on_released`."""
        return RELEASE.command([self.key], [self._owner])

    def on_released(self) -> None:
        """Stand by from now on, and do not ask."""
        self.token, self._ask_at = 0, math.inf

    @property
    def _renew_s(self) -> float:
        return self._ttl_ms / 1000 / RENEWALS


def fenced_arguments(number: int, command: Command, more: int = 0) -> Command:
    """One command among the arguments of :meth:`StandbyLease.fenced`.

    Args:
        number: which of the keys is its key, 0 for the first.
        command: without its key.
        more: so many arguments follow, which complete it.
    """
    name, *arguments = command
    return (number + 2, name, len(arguments) + more, *arguments)


def _flag(ready: bool) -> str:
    return "1" if ready else ""

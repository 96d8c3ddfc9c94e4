"""Which of several dispatchers leads, fenced by its term."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from tickfence.coordination.keys import DISPATCHER
from tickfence.redis_access.scripts import Script

LEAD = Script("coordination/lua/lead.lua")
RESIGN = Script("coordination/lua/resign.lua")


class LeaderReason(StrEnum):
    """How a dispatcher came to lead."""

    FIRST = "first"
    TOOK_OVER = "took over"  # from one that died or fell silent
    HANDED_OVER = "handed over"  # by one that resigned
    RENEWED = "renewed"  # it led before; its time had run out, or Redis had lost it


class LeaderRecord(NamedTuple):
    """What ``nt:dispatcher`` holds; name ``""`` when the leader resigned or nobody has led yet.

    Attributes:
        name: the dispatcher that leads.
        client_id: its connection in ``CLIENT LIST``; 0 where Redis does not tell.
        term: number of its lead.
        until_ms: server ms at which the lead ends unless it is renewed.
    """

    name: str = ""
    client_id: int = 0
    term: int = 0
    until_ms: int = 0

    def leads(self, now_ms: int) -> bool:
        """Whether it leads at ``now_ms`` (server time)."""
        return bool(self.name) and now_ms < self.until_ms


def parse_leader(found: Mapping[bytes, bytes]) -> LeaderRecord:
    """The leader, from the reply to ``HGETALL nt:dispatcher``.

    Raises:
        ValueError: a number is not one, or the name is not UTF-8.
    """
    client_id, term, until = (int(found.get(name) or 0) for name in (b"client_id", b"term", b"until"))
    return LeaderRecord(found.get(b"leader", b"").decode(), client_id, term, until)


class Lead(NamedTuple):
    """Reply to one poll.

    Attributes:
        leading: whether we lead.
        term: the one in force.
        server_ms: the server's time.
        client_id: the leader's.
        reason: how we came to lead, where this is the first poll of our term.
        lost: whether Redis has forgotten a term that we know of, and so what was written in it.
    """

    leading: bool
    term: int
    server_ms: int
    client_id: int
    reason: LeaderReason | None = None
    lost: bool = False


class Leadership:
    """One candidate for the lead.

    It asks again and again (:meth:`queue_poll`, :meth:`took`): a leader keeps its lead that way, the others
    get it when the leader resigns, falls silent for ``ttl_ms``, or has lost its connection for ``blink_ms``.

    A leader that was paused does not know it. So it acts only while :attr:`leading` holds, which ends by its own
    clock ``ttl_ms`` after it last *asked*; and whatever it still sends after that carries a term that others know
    to be old.
    """

    def __init__(self, name: str, ttl_ms: int, blink_ms: int = 100) -> None:
        self.name = name
        self.ttl_ms = ttl_ms
        self.blink_ms = blink_ms
        self.term = 0
        self._own_term = 0
        self.leader_client_id = 0
        self._leads_until = 0.0
        self._missing_since: float | None = None

    @property
    def leading(self) -> bool:
        return time.monotonic() < self._leads_until

    def queue_poll(self, pipe: Any, client_id: int) -> None:
        """Ask for the lead on a pipeline. One command."""
        gone = self._missing_since is not None and time.monotonic() - self._missing_since >= self.blink_ms / 1000
        depose = self.leader_client_id if gone else ""
        LEAD.queue(pipe, [DISPATCHER], [self.name, client_id, self.ttl_ms, depose, self.term])

    def took(self, reply: list[Any], asked_at: float) -> Lead:
        """Take in the reply to a poll that was sent at ``asked_at`` (monotonic seconds)."""
        lead = Lead(bool(reply[0]), int(reply[1]), int(reply[2]), int(reply[3] or 0))
        if lead.leading and lead.term != self.term:
            lead = self._first_of_its_term(lead, reply[4].decode(), int(reply[5]))
        if lead.client_id != self.leader_client_id:
            self.leader_client_id, self._missing_since = lead.client_id, None
        self.term = max(self.term, lead.term)
        if lead.leading:
            self._own_term = lead.term
        self._leads_until = asked_at + self.ttl_ms / 1000 if lead.leading else 0.0
        return lead

    def _first_of_its_term(self, lead: Lead, before: str, recorded: int) -> Lead:
        lost = recorded < self.term
        if before == self.name or (lost and self._own_term == self.term):
            reason = LeaderReason.RENEWED
        elif before or lost:
            reason = LeaderReason.TOOK_OVER
        else:
            reason = LeaderReason.HANDED_OVER if recorded else LeaderReason.FIRST
        return lead._replace(reason=reason, lost=lost)

    def saw_leader_connected(self, connected: bool) -> None:
        """Tell whether the leader's connection was in ``CLIENT LIST``."""
        if connected:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = time.monotonic()

    def resign(self, client: Any, newest_term: int = 0) -> None:
        """Stop acting as leader at once, and give the lead back if we have it.

        Parameters:
            newest_term: a term known to exist; if nobody leads, the next one must be above it.
        """
        self._leads_until = 0.0
        self.term = max(self.term, newest_term)
        RESIGN.run(client, [DISPATCHER], [self.name])

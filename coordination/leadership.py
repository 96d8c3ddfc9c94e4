"""Which of several dispatchers leads, fenced by its term."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from coordination.keys import DISPATCHER
from coordination.scripts import LEAD, RESIGN


class Lead(NamedTuple):
    """Reply to one poll: whether we lead, the term in force, the server's time, the leader's client id."""

    leading: bool
    term: int
    server_ms: int
    client_id: int


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
        if lead.client_id != self.leader_client_id:
            self.leader_client_id, self._missing_since = lead.client_id, None
        self.term = max(self.term, lead.term)
        self._leads_until = asked_at + self.ttl_ms / 1000 if lead.leading else 0.0
        return lead

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

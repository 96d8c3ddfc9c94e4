"""Which of several dispatchers leads, fenced by its term."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from tickfence.coordination.membership import GRACE_MS
from tickfence.coordination.shards import Shards, parse_shards
from tickfence.coordination.verdicts import Verdicts, parse_verdicts
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import Script

LEAD = Script("coordination/lua/lead.lua")
RESIGN = Script("coordination/lua/resign.lua")
NOTE_LEAD = Script("coordination/lua/note_lead.lua")

LONGEST_LEAD_MS = 600_000
"""A lead that ends later than this from now is from a time when the server's clock was ahead: see ``lua/lead.lua``."""


CANNOT_SEND_S = 1.0
"""A leader that has not reached the broker for this long hands over, if another dispatcher can reach it."""
SENDER_FOR_MS = 2500
"""For how long a dispatcher that has reached the broker is taken to reach it: a stand-by tries once a second."""
HOLD_LEAD_S = 2.0
"""A leader does not hand over earlier than this, so that the lead does not wander while the broker comes and goes."""


class BeatRecord(NamedTuple):
    """What ``nt:dispatcher`` holds of a dispatcher.

    Attributes:
        client_id: its connection in ``CLIENT LIST``; 0 where Redis does not tell.
        heard_ms: server ms of its last poll.
        sender_ms: server ms at which it last said that it reaches the broker; 0 if it never has.
    """

    client_id: int
    heard_ms: int
    sender_ms: int

    def can_send(self, now_ms: int) -> bool:
        """Whether it is taken to reach the broker at ``now_ms`` (server time)."""
        return 0 <= now_ms - self.sender_ms < SENDER_FOR_MS


def _parse_beats(fields: Sequence[bytes]) -> dict[str, BeatRecord]:
    """The dispatchers, by their names. A record that is not readable is none: its dispatcher soon writes another."""
    found = {}
    for name, record in zip(fields[::2], fields[1::2], strict=True):
        numbers = record.split()
        if len(numbers) == 3 and all(map(bytes.isdigit, numbers)):
            found[name.decode(errors="replace").removeprefix("beat:")] = BeatRecord(*map(int, numbers))
    return found


class LeaderReason(StrEnum):
    """How a dispatcher got the lead."""

    FIRST = "first"
    TOOK_OVER = "took over"  # from a leader that died or fell silent
    HANDED_OVER = "handed over"  # by a leader that resigned
    CANNOT_SEND = "cannot send"  # from a leader that resigned because it could not reach the broker
    RENEWED = "renewed"  # it led before; its lead had run out, or Redis had lost it


class LeaderRecord(NamedTuple):
    """What ``nt:dispatcher`` holds; name ``""`` when the leader resigned or nobody has led yet.

    Attributes:
        name: the dispatcher that leads.
        client_id: its connection in ``CLIENT LIST``; 0 where Redis does not tell.
        term: number of its lead.
        until_ms: server ms at which the lead ends unless it is renewed.
        desired: version of the desired state that the leader follows; 0 if it follows none.
        verdicts: the nodes that it has found to be stuck.
        shards: who sends for which shard.
    """

    name: str = ""
    client_id: int = 0
    term: int = 0
    until_ms: int = 0
    desired: int = 0
    verdicts: Verdicts = Verdicts()
    shards: Shards = Shards()

    def leads(self, now_ms: int) -> bool:
        """Whether it leads at ``now_ms`` (server time)."""
        return bool(self.name) and 0 < self.until_ms - now_ms <= LONGEST_LEAD_MS


def parse_leader(found: Mapping[bytes, bytes]) -> LeaderRecord:
    """The leader, from the reply to ``HGETALL nt:dispatcher``.

    Raises:
        ValueError: a number is not one, or the name is not UTF-8.
    """
    client_id, term, until, desired = (
        int(found.get(name) or 0) for name in (b"client_id", b"term", b"until", b"desired")
    )
    verdicts, shards = parse_verdicts(found.get(b"verdicts", b"")), parse_shards(found.get(b"shards", b""))
    return LeaderRecord(found.get(b"leader", b"").decode(), client_id, term, until, desired, verdicts, shards)


def note(client: Any, keys: Keys, name: str, term: int, fields: Mapping[str, str | int]) -> bool:
    """Note something beside the lead, for the next leader, for other beats and for readers: ``desired``, ``verdicts``, ``shards``.

    Args:
        client: the data plane.
        keys: the deployment's keys.
        name: the leader's.
        term: its term.
        fields: name -> value.

    Returns:
        Whether that is the recorded leader of that term; otherwise nothing is noted.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
    """
    flat = [part for field in fields.items() for part in field]
    return bool(NOTE_LEAD.run(client, [keys.dispatcher], [name, term, *flat]))


class Lead(NamedTuple):
    """The lead, as one poll found it.

    Attributes:
        leading: whether we lead.
        term: the term in force.
        server_ms: the server's time.
        client_id: the leader's connection.
        reason: how we got the lead, if this is the first poll of our term.
        lost: whether Redis has forgotten a term that we know, and so what was written in it.
        shards: who sends for which shard, as the last leader noted it; it is in force if that is the leader of this term.
        beats: the dispatchers that have polled lately, if we lead.
    """

    leading: bool
    term: int
    server_ms: int
    client_id: int
    reason: LeaderReason | None = None
    lost: bool = False
    shards: Shards = Shards()
    beats: Mapping[str, BeatRecord] = {}


class Leadership:
    """One candidate for the lead.

    A candidate polls again and again (:meth:`poll`, :meth:`handle_reply`). The leader keeps its lead that way.
    Another candidate gets it when the leader resigns, is silent for ``ttl_ms``, or has been without its connection
    for ``grace_ms``.

    A leader that was paused does not know it. So it acts only while :attr:`leading` holds, which ends by its own
    clock ``ttl_ms`` after its last poll was *sent*. What it still sends after that carries a term that others know
    to be old.

    Args:
        keys: the deployment's keys.
        name: the candidate's name, different for every process start.
        ttl_ms: ``NT_LEADER_TTL_MS``.
        grace_ms: how long the leader's connection may be missing.
        hold_s: how long a leader holds its lead though it cannot send.

    Attributes:
        term: the highest term seen.
        leader_client_id: the leader's connection in ``CLIENT LIST``; 0 if unknown.
    """

    def __init__(
        self, keys: Keys, name: str, ttl_ms: int, grace_ms: int = GRACE_MS, hold_s: float = HOLD_LEAD_S
    ) -> None:
        self.name = name
        self.ttl_ms = ttl_ms
        self.grace_ms = grace_ms
        self.hold_s = hold_s
        self.term = 0
        self.leader_client_id = 0
        self._key = keys.dispatcher
        self._own_term = 0
        self._heard_until = 0.0
        self._shards: tuple[bytes, Shards] = b"", Shards()  # the text of them, and what is in it
        self._leads_until = 0.0
        self._led_since = 0.0
        self._missing_since: float | None = None

    @property
    def leading(self) -> bool:
        """Whether we lead, by our own clock."""
        return time.monotonic() < self._leads_until

    @property
    def in_touch(self) -> bool:
        """Whether what the last poll found still holds, by our own clock."""
        return time.monotonic() < self._heard_until

    @property
    def leader_missing(self) -> bool:
        """Whether the leader's connection was not there when it was last looked for."""
        return self._missing_since is not None

    def poll(self, client_id: int, *, can_send: bool = False) -> Command:
        """The command of one poll.

        Args:
            client_id: our connection in ``CLIENT LIST``; 0 where Redis does not tell.
            can_send: whether we have reached the broker since the last poll.
        """
        gone = self._missing_since is not None and time.monotonic() - self._missing_since >= self.grace_ms / 1000
        depose = self.leader_client_id if gone else ""
        return LEAD.command(
            [self._key], [self.name, client_id, self.ttl_ms, depose, self.term, "1" if can_send else ""]
        )

    def handle_reply(self, reply: list[Any], sent_at: float) -> Lead:
        """Process the reply to a poll that was sent at ``sent_at`` (monotonic seconds)."""
        lead = Lead(bool(reply[0]), int(reply[1]), int(reply[2]), int(reply[3]) if reply[3].isdigit() else 0)
        if reply[4] != self._shards[0]:
            self._shards = reply[4], parse_shards(reply[4])
        lead = lead._replace(shards=self._shards[1])
        if lead.leading and lead.term != self.term:
            lead = self._explain_new_term(lead, reply[5].decode(errors="replace"), int(reply[6]), reply[7].decode())
            self._led_since = sent_at
        if lead.client_id != self.leader_client_id:
            self.leader_client_id, self._missing_since = lead.client_id, None
        self.term = max(self.term, lead.term)
        if lead.leading:
            self._own_term = lead.term
            lead = lead._replace(beats=_parse_beats(reply[8:]))
        self._heard_until = sent_at + self.ttl_ms / 1000
        self._leads_until = self._heard_until if lead.leading else 0.0
        return lead

    def should_hand_over(self, lead: Lead, failing_s: float) -> bool:
        """Whether to resign because another dispatcher can send and we cannot.

        Args:
            lead: as the last poll found it.
            failing_s: for how long the broker has not answered us.
        """
        other_can = any(beat.can_send(lead.server_ms) for name, beat in lead.beats.items() if name != self.name)
        settled = time.monotonic() - self._led_since >= self.hold_s
        return lead.leading and failing_s >= CANNOT_SEND_S and other_can and settled

    def _explain_new_term(self, lead: Lead, leader_before: str, recorded_term: int, why: str) -> Lead:
        lost = recorded_term < self.term
        if leader_before == self.name or (lost and self._own_term == self.term):
            reason = LeaderReason.RENEWED
        elif leader_before or lost:
            reason = LeaderReason.TOOK_OVER
        elif why == LeaderReason.CANNOT_SEND:
            reason = LeaderReason.CANNOT_SEND if recorded_term != self._own_term else LeaderReason.RENEWED
        else:
            reason = LeaderReason.HANDED_OVER if recorded_term else LeaderReason.FIRST
        return lead._replace(reason=reason, lost=lost)

    def note_leader_connected(self, connected: bool) -> None:
        """Note whether ``CLIENT LIST`` showed the leader's connection."""
        if connected:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = time.monotonic()

    def resign(self, client: Any, newest_term: int = 0, why: str = "") -> None:
        """Stop acting as leader at once, and give the lead back if we have it.

        Args:
            client: the data plane.
            newest_term: a term known to exist; the next one will be above it.
            why: for the next leader, see :class:`LeaderReason`.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached. We do not lead any more; the lead runs out by itself.
        """
        self._leads_until = self._heard_until = 0.0
        self.term = max(self.term, newest_term)
        RESIGN.run(client, [self._key], [self.name, why])

"""One firing of a rule for a symbol, and how far each of its messages has come. No I/O.

A message is delivered at most once. Before each attempt the ledger records that it begins. An attempt without a recorded
outcome is therefore never repeated, whoever comes to know of it: it may have arrived.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any

from msgspec import Struct

ATTEMPTS = 8
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 1_000, 60_000


class Kind(StrEnum):
    """What a message tells."""

    FIRING = "firing"
    RESOLVED = "resolved"


class State(StrEnum):
    """How far a message has come."""

    WAITING = "waiting"  # for its next attempt
    SENDING = "sending"  # an attempt has begun
    ACCEPTED = "accepted"
    REJECTED = "rejected"  # for good
    GAVE_UP = "gave up"  # refused too often
    UNKNOWN = "unknown"  # it may have arrived, so it is not sent again


class Outcome(StrEnum):
    """How an attempt ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # it has surely not been accepted; another attempt may be
    REJECTED = "rejected"  # it will never be accepted
    UNKNOWN = "unknown"  # no answer


class Message(Struct):
    """One message to one target.

    Attributes:
        target: name of the target.
        kind: what it tells.
        state: how far it has come.
        attempts: how many have begun.
        next_ms: ms since the epoch of the next attempt.
    """

    target: str
    kind: Kind
    state: State = State.WAITING
    attempts: int = 0
    next_ms: int = 0

    @property
    def over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state not in (State.WAITING, State.SENDING)

    def due(self, now_ms: int) -> bool:
        """Whether to begin an attempt. A time too far ahead is that of a clock that was wrong."""
        return self.state is State.WAITING and not 0 < self.next_ms - now_ms <= LONGEST_PAUSE_MS

    def begin(self) -> None:
        """An attempt begins."""
        self.state, self.attempts = State.SENDING, self.attempts + 1

    def withdraw(self) -> None:
        """The attempt was not recorded, so it was not made."""
        self.state, self.attempts = State.WAITING, self.attempts - 1

    def ended(self, outcome: Outcome, now_ms: int, *, at_least_once: bool) -> None:
        """Take the outcome of an attempt."""
        if outcome is Outcome.REFUSED or (outcome is Outcome.UNKNOWN and at_least_once):
            pause_ms = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (self.attempts - 1))
            self.state = State.GAVE_UP if self.attempts >= ATTEMPTS else State.WAITING
            self.next_ms = now_ms + int(pause_ms * random.uniform(0.5, 1.0))
        else:
            self.state = State(outcome)


class Firing(Struct):
    """One time that a rule fires for a symbol.

    Attributes:
        id: of this firing; no other has the same.
        rule, symbol: of what.
        since_ms: `updatedAt` of the first report that it held in.
        fired_ms: `updatedAt` of the report that made it fire.
        value: the first value that met the rule then.
        messages: to its targets.
        ended_ms: `updatedAt` of the report that ended it; None while it lasts.
        reason: why it ended, where no report did.
    """

    id: str
    rule: str
    symbol: str
    since_ms: int
    fired_ms: int
    value: Any
    messages: list[Message]
    ended_ms: int | None = None
    reason: str = ""

    def end(self, at_ms: int, tell: list[str], reason: str = "") -> None:
        """It is over; these targets are told."""
        self.ended_ms, self.reason = at_ms, reason
        self.messages += [Message(target, Kind.RESOLVED) for target in tell]

    def due(self, now_ms: int) -> list[Message]:
        """The messages to send now: the end of a firing only after its beginning."""
        begun = {message.target: message for message in self.messages if message.kind is Kind.FIRING}
        return [
            message
            for message in self.messages
            if message.due(now_ms) and (message.kind is Kind.FIRING or begun[message.target].over)
        ]

    @property
    def over(self) -> bool:
        """Whether it may be forgotten."""
        return self.ended_ms is not None and all(message.over for message in self.messages)

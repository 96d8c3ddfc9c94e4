"""What ingests have appended of symbols that only one of them may write: did two of them mix? No I/O.

The ids of a writer begin with its fencing token (``ingest/writer_leases.py``). For each symbol, over all that Redis was told
to append or set, in its order:

- Tokens never fall: what an earlier writer wrote ends before the first of the next one.
- One token has one owner, and each update has a number of its writer's token.
- The updates of one token follow on each other. Only a new book may leave numbers out, which an update that changes nothing
  tells.
- Nothing is written without the lease.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.chaos.history import Appended

MIXED = "writers mixed"
NO_LEASE = "written without the lease"
NOT_ITS_NUMBER = "number of another writer"
UPDATE_LOST = "update lost"
TOKEN_BITS = 20


class AppendedSymbol:
    """One symbol, after the records so far."""

    def __init__(self) -> None:
        self._owners: dict[int, str] = {}
        self._token = 0
        self._last = 0

    def take(self, one: Appended) -> Iterator[tuple[str, str]]:
        """Take the next record; what it violates, each with what was found."""
        if not one.owner:
            yield NO_LEASE, f"update {one.last}"
            return
        holder = self._owners.setdefault(one.token, one.owner)
        if holder != one.owner:
            yield MIXED, f"token {one.token} belongs to {holder}, and {one.owner} used it"
        if one.token < self._token:
            yield MIXED, f"{one.owner} wrote with {one.token} after {self._owners[self._token]} with {self._token}"
            return
        if one.token > self._token:
            self._token, self._last = one.token, 0
        if one.last:
            yield from self._update(one)

    def _update(self, one: Appended) -> Iterator[tuple[str, str]]:
        if one.last >> TOKEN_BITS != one.token:
            yield NOT_ITS_NUMBER, f"{one.last} of {one.owner}, whose token is {one.token}"
        elif one.last <= self._last:
            return  # sent again after a lost reply: Redis refuses it
        elif self._last and one.first != self._last + 1 and one.changes:
            yield UPDATE_LOST, f"an update from {one.first} on follows one up to {self._last} of {one.owner}"
        self._last = max(self._last, one.last)

"""Checks a history: which invariants does it violate? No I/O.

The invariants hold for each symbol, over all writes that Redis accepted, in its order:

- Tokens never fall, and no write has a token older than the newest that was granted.
- ``seq`` only grows.
- One token has one owner.
- The twenty best levels a side of a report are those of the exchange at the report's update id: no book with a gap is
  ever published.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tools.chaos.history import Acquisition, Book, Record, Write

TOKEN_FELL = "token fell"
STALE_WRITE = "stale write"
SEQ_BACK = "seq did not grow"
TOKEN_REUSED = "token of another owner"
WRONG_BOOK = "wrong book"


class Violation(NamedTuple):
    """One record that violates one invariant.

    Attributes:
        time: of the record: Unix time, s.
        symbol: whose record; a node id for faults of a node.
        kind: the invariant.
        detail: what was found and what was expected.
    """

    time: float
    symbol: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.time:.6f} {self.symbol}: {self.kind}: {self.detail}"


@dataclass
class Verdict:
    """What a history shows.

    Attributes:
        violations: of the invariants.
        writes: number of accepted writes.
        acquisitions: number of leases that got another owner.
        books_compared: number of reports whose book could be compared with that of the exchange.
    """

    violations: list[Violation] = field(default_factory=list)
    writes: int = 0
    acquisitions: int = 0
    books_compared: int = 0

    def __iadd__(self, other: Verdict) -> Verdict:
        """Add the verdict on another history."""
        self.violations += other.violations
        self.writes += other.writes
        self.acquisitions += other.acquisitions
        self.books_compared += other.books_compared
        return self


def check(history: Iterable[Record]) -> Verdict:
    """Check a whole history, given in the order of the server.

    Books of the exchange may be at any place in it, because the exchange and Redis are watched over different
    connections.

    Example:
        >>> check([Write(1.0, "BTCUSDT", "a/1", token=2, seq=7), Write(1.2, "BTCUSDT", "b/1", token=1, seq=8)]).violations
        [Violation(time=1.2, symbol='BTCUSDT', kind='token fell', detail='1 of b/1 after 2')]
    """
    records = list(history)
    books = {(r.symbol, r.update_id): r.depth for r in records if isinstance(r, Book)}
    symbols: dict[str, _Symbol] = {}
    verdict = Verdict()
    for record in records:
        if isinstance(record, Acquisition | Write):
            symbol = symbols.setdefault(record.symbol, _Symbol())
            if isinstance(record, Acquisition):
                verdict.acquisitions += 1
                found = symbol.acquire(record)
            else:
                verdict.writes += 1
                found = symbol.write(record)
                exchange_depth = books.get((record.symbol, record.update_id or 0))
                if record.report and exchange_depth is not None:
                    verdict.books_compared += 1
                    if record.depth != exchange_depth:
                        found.append((WRONG_BOOK, f"the exchange had other levels at update id {record.update_id}"))
            verdict.violations += [Violation(record.time, record.symbol, kind, detail) for kind, detail in found]
    return verdict


class _Symbol:
    """The state of one symbol, after the records so far."""

    def __init__(self) -> None:
        self._owners: dict[int, str] = {}
        self._newest_granted = 0
        self._newest_written = 0
        self._seq: int | None = None

    def acquire(self, acquisition: Acquisition) -> list[tuple[str, str]]:
        found = self._own(acquisition.token, acquisition.owner)
        if acquisition.token <= self._newest_granted and self._owners.get(acquisition.token) == acquisition.owner:
            found.append(
                (TOKEN_FELL, f"{acquisition.token} granted to {acquisition.owner} after {self._newest_granted}")
            )
        self._newest_granted = max(self._newest_granted, acquisition.token)
        return found

    def write(self, write: Write) -> list[tuple[str, str]]:
        found = self._own(write.token, write.owner)
        if write.token < self._newest_written:
            found.append((TOKEN_FELL, f"{write.token} of {write.owner} after {self._newest_written}"))
        elif write.token < self._newest_granted:
            holder = self._owners[self._newest_granted]
            found.append((STALE_WRITE, f"{write.token} of {write.owner}, but {holder} has {self._newest_granted}"))
        self._newest_written = max(self._newest_written, write.token)
        if write.seq is not None:
            if self._seq is not None and write.seq <= self._seq:
                found.append((SEQ_BACK, f"{write.seq} of {write.owner} after {self._seq}"))
            self._seq = max(write.seq, self._seq or write.seq)
        return found

    def _own(self, token: int, owner: str) -> list[tuple[str, str]]:
        holder = self._owners.setdefault(token, owner)
        if holder == owner:
            return []
        return [(TOKEN_REUSED, f"{token} belongs to {holder}, and {owner} used it")]

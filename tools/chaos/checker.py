"""Checks a history: which invariants does it violate? No I/O.

The invariants hold for each symbol, over all writes that Redis accepted, in its order:

- Tokens never fall, and no write has a token older than the newest that was granted.
- ``seq`` only grows.
- One token has one owner.
- The twenty best levels a side of a report are those of the exchange at the report's update id: no book with a gap is
  ever published. Where the exchange has no update ids, they are levels that it had.
- No two ingests mix where only one may write: :mod:`tools.chaos.appends`.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tools.chaos.appends import AppendedSymbol
from tools.chaos.history import Acquisition, Appended, Book, Record, Write, WrittenToOldMaster

TOKEN_FELL = "token fell"
STALE_WRITE = "stale write"
SEQ_BACK = "seq did not grow"
TOKEN_REUSED = "token of another owner"
WRONG_BOOK = "wrong book"

UNSURE_S = 5.0
"""So long after books passed unseen, a report may still be made from one of these."""


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
        appends: number of updates of symbols that only one ingest may write.
    """

    violations: list[Violation] = field(default_factory=list)
    writes: int = 0
    acquisitions: int = 0
    books_compared: int = 0
    appends: int = 0

    def __iadd__(self, other: Verdict) -> Verdict:
        """Add the verdict on another history."""
        self.violations += other.violations
        self.writes += other.writes
        self.acquisitions += other.acquisitions
        self.books_compared += other.books_compared
        self.appends += other.appends
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
    books = _Books([record for record in records if isinstance(record, Book)])
    symbols: dict[str, _Symbol] = {}
    astray = {r.what.last for r in records if isinstance(r, WrittenToOldMaster) and isinstance(r.what, Appended)}
    led: dict[str, AppendedSymbol] = defaultdict(lambda: AppendedSymbol(astray))
    verdict = Verdict()
    for record in records:
        if isinstance(record, Appended):
            verdict.appends += record.last > 0
            wrong = led[record.symbol].take(record)
            verdict.violations += [Violation(record.time, record.symbol, kind, detail) for kind, detail in wrong]
        if isinstance(record, Acquisition | Write):
            symbol = symbols.setdefault(record.symbol, _Symbol())
            if isinstance(record, Acquisition):
                verdict.acquisitions += 1
                found = symbol.acquire(record)
            else:
                verdict.writes += 1
                found = symbol.write(record)
                is_true = books.agree(record)
                if is_true is not None:
                    verdict.books_compared += 1
                    if not is_true:
                        found.append((WRONG_BOOK, f"the exchange had other levels at update id {record.update_id}"))
            verdict.violations += [Violation(record.time, record.symbol, kind, detail) for kind, detail in found]
    return verdict


class _Books:
    """What the exchanges' books were."""

    def __init__(self, books: Sequence[Book]) -> None:
        # An exchange may number its updates from the start again: after how many restarts a book had an id.
        self._at: dict[tuple[str, int], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._restarts: dict[str, list[float]] = defaultdict(list)
        self._unsure: dict[str, list[list[float]]] = {}
        newest: dict[str, int] = {}
        for book in books:
            if book.update_id < newest.get(book.symbol, 0):
                self._restarts[book.symbol].append(book.time)
            newest[book.symbol] = book.update_id
            self._at[book.symbol, book.update_id][book.depth].add(len(self._restarts[book.symbol]))
            if not book.update_id:
                unsure = self._unsure.setdefault(book.symbol, [[0.0, book.time + UNSURE_S]])
                if not book.depth:
                    unsure.append([book.time, math.inf])
                elif unsure[-1][1] == math.inf:
                    unsure[-1][1] = book.time + UNSURE_S

    def agree(self, write: Write) -> bool | None:
        """Whether a report shows the exchange's levels; ``None`` if that is not known."""
        update_id = write.update_id or 0
        if not write.report or any(since <= write.time <= until for since, until in self._unsure.get(write.symbol, ())):
            return None
        known = self._at.get((write.symbol, update_id)) or self._at.get((write.symbol, 0), {})
        if write.depth in known:
            return True
        restarts = self._restarts.get(write.symbol, [])
        first, last = (bisect(restarts, write.time + of) for of in (-UNSURE_S, UNSURE_S))
        seen = any(first in told for depth, told in known.items() if depth)
        return False if seen and first == last else None


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

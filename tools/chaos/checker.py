"""From a history to the invariants it violates. No I/O.

The invariants, per symbol, over all writes that Redis accepted, in its order:

- tokens never fall, and no write brings a token older than the newest that was given out;
- ``seq`` only grows;
- one token has one owner;
- the report's twenty best levels a side are the exchange's at the update id it was made from: no book with a gap was
  ever published.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from tools.chaos.history import Book, Record, Take, Write

TOKEN_FELL = "token fell"
STALE_WRITE = "stale write"
SEQ_BACK = "seq did not grow"
TOKEN_REUSED = "token of another owner"
WRONG_BOOK = "wrong book"


class Violation(NamedTuple):
    """One invariant, broken by one record; ``detail`` says what was expected."""

    time: float
    symbol: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.time:.6f} {self.symbol}: {self.kind}: {self.detail}"


@dataclass
class Verdict:
    """What a history shows: ``books_compared`` writes had an update id at which the true book is known."""

    violations: list[Violation] = field(default_factory=list)
    writes: int = 0
    takes: int = 0
    books_compared: int = 0

    def __iadd__(self, other: Verdict) -> Verdict:
        """Add what another history shows."""
        self.violations += other.violations
        self.writes += other.writes
        self.takes += other.takes
        self.books_compared += other.books_compared
        return self


def check(history: Iterable[Record]) -> Verdict:
    """Check a whole history, given in the server's order.

    True books may come at any place in it: the exchange and Redis are watched over different connections.

    Example:
        >>> check([Write(1.0, "BTCUSDT", "a/1", token=2, seq=7), Write(1.2, "BTCUSDT", "b/1", token=1, seq=8)]).violations
        [Violation(time=1.2, symbol='BTCUSDT', kind='token fell', detail='1 of b/1 after 2')]
    """
    records = list(history)
    books = {(r.symbol, r.update_id): r.depth for r in records if isinstance(r, Book)}
    symbols: dict[str, _Symbol] = {}
    verdict = Verdict()
    for record in records:
        if isinstance(record, Take | Write):
            symbol = symbols.setdefault(record.symbol, _Symbol())
            if isinstance(record, Take):
                verdict.takes += 1
                found = symbol.take(record)
            else:
                verdict.writes += 1
                found = symbol.write(record)
                true_depth = books.get((record.symbol, record.update_id or 0))
                if record.report and true_depth is not None:
                    verdict.books_compared += 1
                    if record.depth != true_depth:
                        found.append((WRONG_BOOK, f"at update id {record.update_id} the exchange had other levels"))
            verdict.violations += [Violation(record.time, record.symbol, kind, detail) for kind, detail in found]
    return verdict


class _Symbol:
    """One symbol's past."""

    def __init__(self) -> None:
        self._owners: dict[int, str] = {}
        self._newest_given = 0
        self._newest_written = 0
        self._seq: int | None = None

    def take(self, take: Take) -> list[tuple[str, str]]:
        found = self._own(take.token, take.owner)
        if take.token <= self._newest_given and self._owners.get(take.token) == take.owner:
            found.append((TOKEN_FELL, f"{take.token} given to {take.owner} after {self._newest_given}"))
        self._newest_given = max(self._newest_given, take.token)
        return found

    def write(self, write: Write) -> list[tuple[str, str]]:
        found = self._own(write.token, write.owner)
        if write.token < self._newest_written:
            found.append((TOKEN_FELL, f"{write.token} of {write.owner} after {self._newest_written}"))
        elif write.token < self._newest_given:
            holder = self._owners[self._newest_given]
            found.append((STALE_WRITE, f"{write.token} of {write.owner}, but {holder} has {self._newest_given}"))
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
        return [(TOKEN_REUSED, f"{token} is of {holder}, and {owner} used it")]

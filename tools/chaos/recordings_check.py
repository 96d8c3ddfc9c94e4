"""Compares recorded files with what a witness saw in Redis. No I/O.

- What could be read for two seconds while a recorder lived is in the files once. What could not is excused if it is not.
- Nothing is in the files twice, or with other values, and nothing is there that never was in Redis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from tools.chaos.checker import Violation
from tools.chaos.history import Lived
from tools.chaos.witness import Entry, Fields, Id, Span, What, WitnessedStream

DUE_S = 2.0

MISSING = "not recorded"
TWICE = "recorded twice"
CHANGED = "recorded with other values"
NEVER = "recorded, but never in Redis"

NO_RECORDER = "no recorder lived for 2 s while they could be read"
TOO_SHORT = "they could be read for less than 2 s"
UNSEEN = "recorded, and lost by Redis before the witness saw them"

Values = tuple[object, ...]
Stream = tuple[str, What]
Recorded = Mapping[Stream, Mapping[Id, Sequence[Values]]]
"""(symbol, kind) -> id -> the values of each row with it: see :func:`values`."""

_decode = msgspec.json.Decoder(list[tuple[float, float]]).decode


@dataclass
class RecordingsVerdict:
    """What the files of a stack's recorders show.

    Attributes:
        entries: how many trades and diffs were seen in Redis.
        due: how many of them must be in the files.
        recorded: how many of them are in the files.
        excused: reason -> how many are missing, or were not seen in Redis, for it.
        violations: what is missing without an excuse, twice, changed, or from nowhere.
    """

    entries: int = 0
    due: int = 0
    recorded: int = 0
    excused: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def __iadd__(self, other: RecordingsVerdict) -> RecordingsVerdict:
        """Add the verdict on another stack."""
        self.entries += other.entries
        self.due += other.due
        self.recorded += other.recorded
        self.excused.update(other.excused)
        self.violations += other.violations
        return self

    def __str__(self) -> str:
        found = Counter(violation.kind for violation in self.violations)
        faults = ", ".join(f"{found[kind]} {kind}" for kind in (MISSING, TWICE, CHANGED, NEVER))
        excused = "; ".join(f"{count}: {reason}" for reason, count in sorted(self.excused.items()))
        return (
            f"{self.entries} trades and diffs were in Redis, {self.due} of them for {DUE_S:g} s while a recorder lived: "
            f"{self.recorded} recorded; {faults}. Excused: {excused or 'none'}."
        )


def check(streams: Mapping[Stream, WitnessedStream], lives: Iterable[Lived], recorded: Recorded) -> RecordingsVerdict:
    """Check the recordings of one stack.

    Args:
        streams: what was in Redis.
        lives: of the recorders.
        recorded: what is in the files.
    """
    living = [Span(life.since, life.time) for life in lives]
    verdict = RecordingsVerdict()
    for key, stream in sorted(streams.items()):
        rows = recorded.get(key, {})
        for id_, entry in stream.entries.items():
            _check_entry(verdict, key, id_, entry, rows.get(id_, ()), living)
        for id_, found in rows.items():
            if id_ not in stream.entries:
                _check_unseen(verdict, key, id_, found, stream)
    for key in recorded.keys() - streams.keys():
        for id_ in recorded[key]:
            verdict.violations.append(_violation(NEVER, key, id_, "nobody watched this stream"))
    return verdict


def values(what: What, fields: Fields) -> Values:
    """The values of a stream's entry, as the files hold them.

    Returns:
        Of a trade: price, quantity, whether the buyer was the aggressor, of how many it is, when it was received. Of a diff: its first
        update, its bids and its asks, when it was received, and what was known of the trades before it.
    """
    if what is What.TRADES:
        side = fields[b"s"]
        return float(fields[b"p"]), float(fields[b"q"]), side[:1] == b"b", int(side[1:] or 1), int(fields[b"r"])
    bids, asks = (tuple(_decode(fields[name])) for name in (b"b", b"a"))
    return int(fields[b"U"]), bids, asks, int(fields[b"r"]), int(fields.get(b"t", b"0"))


def _is_due(entry: Entry, living: Sequence[Span]) -> bool:
    return any(
        min(span.until, life.until) - max(span.since, life.since) >= DUE_S for span in entry.spans for life in living
    )


def _check_entry(
    verdict: RecordingsVerdict, key: Stream, id_: Id, entry: Entry, rows: Sequence[Values], living: Sequence[Span]
) -> None:
    verdict.entries += 1
    due = _is_due(entry, living)
    verdict.due += due
    verdict.recorded += bool(rows)
    if not rows and due:
        seen = ", ".join(f"{span.since:.3f} to {span.until:.3f}" for span in entry.spans)
        verdict.violations.append(_violation(MISSING, key, id_, f"it could be read from {seen}"))
    elif not rows:
        readable = any(span.until - span.since >= DUE_S for span in entry.spans)
        verdict.excused[NO_RECORDER if readable else TOO_SHORT] += 1
    if len(rows) > 1:
        verdict.violations.append(_violation(TWICE, key, id_, f"{len(rows)} rows"))
    versions = [values(key[1], fields) for fields in entry.fields]
    for row in rows:
        if row not in versions:
            verdict.violations.append(_violation(CHANGED, key, id_, f"{row}, but Redis had {versions}"))


def _check_unseen(
    verdict: RecordingsVerdict, key: Stream, id_: Id, rows: Sequence[Values], stream: WitnessedStream
) -> None:
    if any(low < id_ <= high for low, high in stream.unseen):
        verdict.excused[UNSEEN] += 1
    else:
        verdict.violations.append(_violation(NEVER, key, id_, f"{rows[0]}"))
    if len(rows) > 1:
        verdict.violations.append(_violation(TWICE, key, id_, f"{len(rows)} rows"))


def _violation(kind: str, key: Stream, id_: Id, detail: str) -> Violation:
    symbol, what = key
    return Violation(id_[0] / 1000, symbol, kind, f"{what} {id_[0]}-{id_[1]}: {detail}")

"""Whether live reports equal those made again from what they were made from. Needs the extra ``recordings``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.rebuild import replay
from tasks.rebuilt import Rebuilt
from tasks.recorded_entries import Recorded
from tickfence.analytics import basis as bases
from tickfence.analytics.basis import Basis, Kind
from tickfence.instrument import Instrument


class Difference(NamedTuple):
    """Something that was made otherwise live.

    Attributes:
        at_ms: its time, on the Redis server's clock.
        kind: a report, or slow sections.
        member: the first member of the report that differs, as told by the first different report whose basis tells its
            members; empty for slow sections.
        live: digest of its live bytes, in hexadecimal digits.
        rebuilt: digest of its bytes made again; empty where they could not be made.
        owner: who made it live.
    """

    at_ms: int
    kind: Kind
    member: str
    live: str
    rebuilt: str
    owner: str


@dataclass(slots=True)
class Audit:
    """What was found of one symbol.

    Attributes:
        symbol: whose reports.
        compared: reports that were compared.
        equal: those that were equal.
        not_warm: reports that do not count because the recording lacks something of their past, by what.
        equal_anyway: those of them that were equal all the same.
        sections: slow sections that were compared as well.
        different: reports and slow sections that differ.
        first: the first report of them; where no report differs, the first slow sections.
    """

    symbol: Instrument
    compared: int = 0
    equal: int = 0
    not_warm: Counter[str] = field(default_factory=Counter)
    equal_anyway: int = 0
    sections: int = 0
    different: int = 0
    first: Difference | None = None


def audit(recording: Recorded, symbols: Sequence[Instrument], from_ms: int, to_ms: int) -> Iterator[Audit]:
    """Make the live reports of ``symbols`` again and compare them, byte for byte; the writer does not count.

    Args:
        recording: what was recorded.
        symbols: whose reports.
        from_ms, to_ms: their ``updatedAt``, from_ms <= updatedAt < to_ms.
    """
    for symbol in symbols:
        found = Audit(symbol)
        for step in replay(recording, symbol, from_ms, to_ms):
            if step.basis is not None:
                _compare(found, step, step.basis)
        yield found


def _compare(found: Audit, step: Rebuilt, live: Basis) -> None:
    is_report = live.kind is Kind.REPORT
    digest = b""
    if step.report:
        digest = bases.report_digest(step.report) if is_report else bases.digest(step.report)
    equal = digest == live.digest
    if not step.warm:
        found.not_warm[step.reason] += is_report
        found.equal_anyway += is_report and equal
        return
    if is_report:
        found.compared += 1
        found.equal += equal
    else:
        found.sections += 1
    if not equal:
        found.different += 1
        member = _first_difference(step.report, live) if live.members else ""
        if found.first is None or (is_report and found.first.kind is Kind.SLOW):
            found.first = Difference(step.at_ms, live.kind, member, live.digest.hex(), digest.hex(), live.owner)
        elif is_report and not found.first.member:
            found.first = found.first._replace(member=member)


def _first_difference(report: bytes, live: Basis) -> str:
    """The first member that differs, in the report's order; the last ones are those that only one of them has."""
    rebuilt = bases.members(report) if report else {}
    names = {**live.members, **rebuilt}
    return next((name for name in names if live.members.get(name) != rebuilt.get(name)), "")

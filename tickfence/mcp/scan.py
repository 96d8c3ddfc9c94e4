"""Which symbols have an anomaly now: a scan over the current reports of all of them. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tickfence.analytics.anomalies import KINDS, AnyAnomaly
from tickfence.analytics.fields import SEVERITIES, Severity
from tickfence.mcp.amount import amount
from tickfence.readers.reader import Found, Reports

ANY = "any"
"""Stands for every kind of anomaly."""

TYPES: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in KINDS)
"""The `type` of each kind of anomaly."""

if TYPE_CHECKING:
    Wanted = str
else:
    Wanted = Literal[(ANY, *TYPES)]

NAMED = 20
"""Symbols that are named of those that were not searched."""

LISTED = 3
"""Anomalies of one symbol that are listed."""

Skipped = Literal["stale", "no report", "not judged", "unreadable"]


class Match(Struct, frozen=True):
    """A symbol with such anomalies."""

    symbol: str
    severity: Annotated[Severity, Meta(description="Of its worst match.")]
    anomalies: Annotated[list[dict[str, Any]], Meta(description="The worst, at most 3, as in get_report.")]
    left_out: int = 0


class Names(Struct, frozen=True):
    """Some symbols: how many, and the first of them by name."""

    count: int
    symbols: list[str]


class Scan(Struct, frozen=True):
    """The symbols with an anomaly now, the worst first."""

    now: int
    searched: Annotated[int, Meta(description="Symbols whose report is fresh and judged.")]
    matches: list[Match]
    left_out: Annotated[int, Meta(description="Matching symbols beyond the limit.")]
    not_searched: Annotated[
        dict[Skipped, Names],
        Meta(description="`not judged`: its book has stopped, or the first judgement is to come."),
    ]


class _Judged(Struct, frozen=True, gc=False):
    anomalies: list[AnyAnomaly] | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Judged).decode


def search(reports: Reports, kind: str, at_least: Severity, limit: int) -> Scan:
    """Return which symbols have an anomaly.

    The worst come first: by their worst match, then by how many are as bad, then by name.

    Args:
        reports: The current reports of all symbols.
        kind: One of `TYPES`, or `ANY`.
        at_least: The lowest severity that counts.
        limit: How many symbols are listed.
    """
    matches: list[tuple[tuple[int, int, str], Match]] = []
    skipped: dict[Skipped, list[str]] = {}
    searched = 0
    for found in reports.found:
        anomalies = _anomalies(found)
        if isinstance(anomalies, str):
            skipped.setdefault(anomalies, []).append(found.symbol)
            continue
        searched += 1
        wanted = [one for one in anomalies if _rank(one) >= SEVERITIES.index(at_least)]
        wanted = sorted((one for one in wanted if kind in (ANY, one.__struct_config__.tag)), key=_rank, reverse=True)
        if wanted:
            worst = _rank(wanted[0])
            place = (-worst, -sum(_rank(one) == worst for one in wanted), found.symbol)
            listed = [msgspec.to_builtins(one) for one in wanted[:LISTED]]
            matches.append((place, Match(found.symbol, wanted[0].severity, listed, len(wanted) - len(listed))))
    skipped["no report"] = reports.missing
    skipped.setdefault("unreadable", []).extend(reports.bad)
    ranked = [match for _, match in sorted(matches, key=lambda one: one[0])]
    return Scan(
        reports.now_ms,
        searched,
        ranked[:limit],
        len(ranked[limit:]),
        {why: Names(len(names), sorted(names)[:NAMED]) for why, names in skipped.items() if names},
    )


def scan_text(found: Scan, kind: str, at_least: Severity) -> str:
    """Return the answer as lines of text, one a symbol."""
    what = "anomalies" if kind == ANY else f"{kind.replace('_', ' ')} anomalies"
    severity = "of any severity" if at_least == SEVERITIES[0] else f"of severity {at_least} or worse"
    total = len(found.matches) + found.left_out
    lines = [f"{amount(found.searched, 'symbol')} searched, {total or 'none'} with {what} {severity}"]
    for match in found.matches:
        notes = "; ".join(
            f"{one['type'].replace('_', ' ')}, {one['severity']}, {one['note']}" for one in match.anomalies
        )
        more = f"; and {match.left_out} more" if match.left_out else ""
        lines.append(f"{match.symbol}: {notes}{more}")
    if found.left_out:
        lines.append(f"{amount(found.left_out, 'further symbol')} left out, none worse")
    for why, names in found.not_searched.items():
        more = f" and {names.count - len(names.symbols)} more" if names.count > len(names.symbols) else ""
        lines.append(f"not searched, {why}: {', '.join(names.symbols)}{more}")
    return "\n".join(lines)


def _anomalies(found: Found) -> list[AnyAnomaly] | Skipped:
    if found.fresh.stale:
        return "stale"
    try:
        anomalies = _decode(found.report).anomalies
    except msgspec.DecodeError:
        return "unreadable"
    return "not judged" if anomalies is UNSET else anomalies


def _rank(anomaly: AnyAnomaly) -> int:
    return SEVERITIES.index(anomaly.severity)

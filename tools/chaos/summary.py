"""The table and the plot at the end of a campaign."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tickfence.instrument import Instrument, split
from tools.chaos.faults import KINDS
from tools.chaos.gaps import Gap, percentile


def of_venues(gaps: Sequence[Gap]) -> dict[str, list[Gap]]:
    """The gaps of each venue's symbols, by its name."""
    found: dict[str, list[Gap]] = {}
    for gap in gaps:
        found.setdefault(split(Instrument(gap.symbol))[0], []).append(gap)
    return dict(sorted(found.items()))


def over_budget(gaps: Sequence[Gap]) -> list[str]:
    """Kinds of faults whose 99th percentile of gaps is above the budget, in any venue's symbols."""
    over = []
    for kind in KINDS:
        seen = of_venues([gap for gap in gaps if gap.kind == kind.name])
        worst = max((percentile([gap.longest_ms for gap in those], 99) for those in seen.values()), default=0.0)
        if kind.budget_ms is not None and worst > kind.budget_ms:
            over.append(kind.name)
    return over


def table(gaps: Sequence[Gap], faults: Mapping[str, int], conflicts: Mapping[str, int]) -> str:
    """Markdown, one row for each kind of fault. Times are in ms; a gap is :attr:`tools.chaos.gaps.Gap.longest_ms`.

    The 99th percentile stands there for each venue.

    Args:
        gaps: of all faults.
        faults: kind -> how many.
        conflicts: kind -> leases refused as conflicts.
    """
    over, venues = over_budget(gaps), list(of_venues(gaps))
    of_venue = [f"p99 {venue}" if len(venues) > 1 else "gap p99" for venue in venues]
    head = ["fault", "count", "next report p50", "gap p50", *of_venue, "gap max", "budget", "conflicts", ""]
    rows: list[Sequence[str]] = [head, [":--", *["--:"] * (len(head) - 2), ":--"]]
    for kind in KINDS:
        seen = [gap for gap in gaps if gap.kind == kind.name]
        if not seen:
            continue
        longest, following = [gap.longest_ms for gap in seen], [gap.next_ms for gap in seen]
        by_venue = of_venues(seen)
        p99 = [_ms(percentile([gap.longest_ms for gap in by_venue[v]], 99)) if v in by_venue else "" for v in venues]
        rows.append(
            (
                kind.name,
                str(faults.get(kind.name, 0)),
                _ms(percentile(following, 50)),
                _ms(percentile(longest, 50)),
                *p99,
                _ms(max(longest)),
                "" if kind.budget_ms is None else _ms(kind.budget_ms),
                str(conflicts.get(kind.name, 0)),
                "over budget" if kind.name in over else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "| "
        + " | ".join(
            text.ljust(width) if column in (0, len(head) - 1) else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        + " |"
        for row in rows
    )


def plot(gaps: Sequence[Gap], path: Path, title: str) -> None:
    """Draw a dot for each gap, a row for each kind of fault, and its budget as a bar.

    Args:
        gaps: of all faults.
        path: of the image.
        title: above it.
    """
    import matplotlib  # noqa: PLC0415 - only here, and slow to load

    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    kinds = [kind for kind in KINDS if any(gap.kind == kind.name for gap in gaps)][::-1]
    figure, axes = pyplot.subplots(figsize=(10, 1.2 + 0.32 * len(kinds)), layout="constrained")
    for row, kind in enumerate(kinds):
        seen = [min(gap.longest_ms, 30_000) for gap in gaps if gap.kind == kind.name]
        spread = [row + 0.5 * (number / max(len(seen) - 1, 1) - 0.5) for number in range(len(seen))]
        axes.plot(seen, spread, ".", markersize=4, alpha=0.5, color="tab:blue")
        if kind.budget_ms is not None:
            axes.plot([kind.budget_ms] * 2, [row - 0.4, row + 0.4], color="tab:red", linewidth=2)
    axes.set_yticks(range(len(kinds)), [kind.name for kind in kinds])
    axes.set_xscale("log")
    ticks = [100, 250, 500, 1000, 2000, 5000, 10_000]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(left=100)
    axes.set_xlabel("longest time without a report from the fault on, ms; red: the budget of the 99th percentile")
    axes.set_title(title, fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _ms(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.0f}"

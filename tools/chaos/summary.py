"""The table and the plot at the end of a campaign."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.chaos.faults import KINDS
from tools.chaos.gaps import Gap, percentile

_HEAD = ("fault", "count", "next report p50", "gap p50", "gap p99", "gap max", "budget", "conflicts", "")


def over_budget(gaps: Sequence[Gap]) -> list[str]:
    """Kinds of faults whose 99th percentile of gaps is above the budget."""
    over = []
    for kind in KINDS:
        seen = [gap.longest_ms for gap in gaps if gap.kind == kind.name]
        if seen and kind.budget_ms is not None and percentile(seen, 99) > kind.budget_ms:
            over.append(kind.name)
    return over


def table(gaps: Sequence[Gap], faults: Mapping[str, int], conflicts: Mapping[str, int]) -> str:
    """Markdown, one row for each kind of fault. Times are in ms; a gap is :attr:`tools.chaos.gaps.Gap.longest_ms`.

    Args:
        gaps: of all faults.
        faults: kind -> how many.
        conflicts: kind -> leases refused as conflicts.
    """
    over = over_budget(gaps)
    rows: list[Sequence[str]] = [_HEAD, [":--", *["--:"] * (len(_HEAD) - 2), ":--"]]
    for kind in KINDS:
        seen = [gap for gap in gaps if gap.kind == kind.name]
        if not seen:
            continue
        longest, following = [gap.longest_ms for gap in seen], [gap.next_ms for gap in seen]
        rows.append(
            (
                kind.name,
                str(faults.get(kind.name, 0)),
                _ms(percentile(following, 50)),
                *(_ms(percentile(longest, percent)) for percent in (50, 99, 100)),
                "" if kind.budget_ms is None else _ms(kind.budget_ms),
                str(conflicts.get(kind.name, 0)),
                "over budget" if kind.name in over else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "| "
        + " | ".join(_cell(text, width, column) for column, (text, width) in enumerate(zip(row, widths, strict=True)))
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


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column in (0, len(_HEAD) - 1) else text.rjust(width)

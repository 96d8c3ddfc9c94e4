"""The plots that go with the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.figure import Figure

SIZE = (9, 4.5)


def draw(name: str, found: Any, path: Path) -> None:
    """Draw the results of group ``name``, if there is a picture for them."""
    drawings: dict[str, Callable[[Any], Figure]] = {
        "latency": _latency,
        "capacity": _capacity,
        "overload": _overload,
        "side_by_side": _peers,
        "dispatch_cost": _dispatch_cost,
        "ten_thousand": _ten_thousand,
    }
    drawing = drawings.get(name)
    if drawing is None:
        return
    figure = drawing(found)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _latency(points: list[dict[str, Any]]) -> Figure:
    figure, (times, costs) = pyplot.subplots(1, 2, figsize=SIZE, layout="constrained")
    for nodes, style in ((3, "o-"), (1, "s--")):
        of = sorted((p for p in points if p["nodes"] == nodes), key=lambda p: p["symbols"])
        symbols = [p["symbols"] for p in of]
        times.plot(symbols, [p["written_p50"] for p in of], style, color="tab:blue", label=f"p50, nodes: {nodes}")
        times.plot(symbols, [p["written_p99"] for p in of], style, color="tab:red", label=f"p99, nodes: {nodes}")
        costs.plot(symbols, [p["cost_us"] for p in of], style, label=f"nodes: {nodes}")
    times.set(title="Dispatch to written", xlabel="symbols at 4 Hz", ylabel="ms", xscale="log", yscale="log")
    costs.set(
        title="CPU of a report, nodes and beat", xlabel="symbols at 4 Hz", ylabel="µs", xscale="log", yscale="log"
    )
    for axes in (times, costs):
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _capacity(found: dict[str, Any]) -> Figure:
    figure, (share, busy) = pyplot.subplots(1, 2, figsize=SIZE, layout="constrained")
    points = sorted(found["points"], key=lambda p: p["symbols"])
    symbols = [p["symbols"] for p in points]
    share.plot(symbols, [100 * p["on_time"] for p in points], "o-")
    share.axhline(99, color="tab:red", linewidth=1)
    share.set(title=f"Capacity: {found['symbols']} symbols", xlabel="symbols at 4 Hz", ylabel="% of reports on time")
    roles = sorted({role for p in points for role in p["cpu"]})
    busy.stackplot(symbols, *[[100 * p["cpu"].get(role, 0) for p in points] for role in roles], labels=roles)
    busy.set(title="Where the cores go", xlabel="symbols at 4 Hz", ylabel="% of one core")
    busy.legend(loc="upper left", fontsize="small")
    share.grid(alpha=0.3)
    return figure


def _overload(found: dict[str, Any]) -> Figure:
    seconds = found["seconds"]
    at = [one["at"] for one in seconds]
    figure, axes = pyplot.subplots(4, 1, figsize=(9, 9), sharex=True, layout="constrained")
    axes[0].plot(at, [one["written"] for one in seconds])
    axes[0].set(title="Reports written a second", ylim=(0, None))
    for place, label in enumerate(("slowest", "median", "quickest")):
        axes[1].plot(at, [one["rates"][place] for one in seconds], label=label)
    axes[1].set(title="Writes of one symbol a second, over the last 5 s", ylim=(0, None))
    axes[1].legend(fontsize="small")
    axes[2].plot(at, [one["data_age_p95"] for one in seconds], label="data age p95, ms")
    axes[2].plot(at, [one["waiting"] for one in seconds], label="messages in the queues")
    axes[2].set(title="Age and queues", ylim=(0, None))
    axes[2].legend(fontsize="small")
    axes[3].plot(at, [one["memory_mb"] for one in seconds])
    axes[3].set(title="Memory of all processes, MB", xlabel="s", ylim=(0, None))
    overload = [one["at"] for one in seconds if one["phase"] == "overload"]
    for one in axes:
        one.grid(alpha=0.3)
        one.axvspan(overload[0], overload[-1], color="tab:red", alpha=0.1)
    return figure


def _peers(rows: list[dict[str, Any]]) -> Figure:
    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    capacities = [row for row in rows if row["kind"] == "capacity"]
    names = [row["contestant"] for row in capacities]
    axes.barh(
        names, [row["drifting"] for row in capacities], color="lightgray", label="at a rate that drifts by up to 10 %"
    )
    bars = axes.barh(
        names, [row["symbols"] for row in capacities], color="tab:blue", height=0.5, label="at the full 4 Hz"
    )
    axes.bar_label(bars)
    axes.set(title="Symbols at 4 Hz, 99 % of the reports on time", xlabel="symbols")
    axes.invert_yaxis()
    axes.legend()
    return figure


def _dispatch_cost(rows: list[dict[str, Any]]) -> Figure:
    figure, (cores, noticed) = pyplot.subplots(1, 2, figsize=SIZE, layout="constrained")
    for version, style in (("now", "o-"), ("before", "s--")):
        of = [row for row in rows if row["version"] == version]
        if not of:
            continue
        symbols = [row["symbols"] for row in of]
        cores.plot(symbols, [100 * row["beat"] for row in of], style, color="tab:blue", label=f"beat, {version}")
        cores.plot(symbols, [100 * row["redis"] for row in of], style, color="tab:red", label=f"Redis, {version}")
        noticed.plot(symbols, [row["noticed_s"] for row in of], style, label=version)
    cores.set(title="CPU", xlabel="symbols at 4 Hz", ylabel="% of a core", xscale="log", yscale="log")
    noticed.set(title="Death of a node to a new assignment", xlabel="symbols at 4 Hz", ylabel="s", xscale="log")
    noticed.axhline(0.5, color="tab:red", linewidth=1)
    for axes in (cores, noticed):
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def _ten_thousand(found: dict[str, Any]) -> Figure:
    period_s, counts = found["period"], found["per_second"]
    width = round(period_s)
    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    at = list(range(width, len(counts)))
    axes.plot(at, [sum(counts[one - width : one]) for one in at])
    axes.axhline(found["symbols"], color="tab:green", linewidth=1)
    axes.set(title=f"Reports in the last {width} s", xlabel="s", ylim=(0, None))
    for since, name in found["marks"]:
        axes.axvline(since, color="tab:red", linewidth=1)
        axes.text(since, 0, f" {name}", rotation=90, va="bottom", fontsize="small")
    axes.grid(alpha=0.3)
    return figure

"""How values are shown: colours by node and by status, durations and numbers."""

from __future__ import annotations

import sys
from collections.abc import Collection
from decimal import Decimal

from rich.markup import escape

# Distinguishable with red-green colour blindness, on dark and on light backgrounds.
_NODES = ("cyan", "magenta", "yellow", "blue", "green", "bright_red", "bright_cyan", "bright_magenta")

STATUS = {
    "ok": "green",
    "degraded": "yellow",
    "down": "bold red",
    "alive": "green",
    "left": "yellow",
    "silent": "bold red",
    "gone": "bold red",
    "stuck": "bold red",
    "drained": "yellow",
    "cordoned": "cyan",
    "paused": "cyan",
    "set aside": "bold red",
}
SEVERITY = {"low": "dim", "medium": "yellow", "high": "bold red"}


def node_colours(names: Collection[str]) -> dict[str, str]:
    """Return a colour for each node."""
    return {name: _NODES[number % len(_NODES)] for number, name in enumerate(sorted(names))}


def coloured(text: object, colour: str | None) -> str:
    """Return ``text`` in Rich's markup; its own brackets are escaped."""
    plain = escape(str(text))
    return f"[{colour}]{plain}[/]" if colour else plain


def filled() -> str:
    """Return a filled cell that standard output's encoding has."""
    try:
        "█".encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return "#"
    return "█"


def duration(ms: int) -> str:
    """Return a duration in the unit that fits.

    Example:
        >>> [duration(ms) for ms in (-5, 0, 999, 1500, 61_000, 7_300_000, 180_000_000)]
        ['0 ms', '0 ms', '999 ms', '1.5 s', '61 s', '2.0 h', '50 h']
    """
    ms = max(0, ms)
    if ms < 1000:
        return f"{ms} ms"
    if ms < 10_000:
        return f"{ms / 1000:.1f} s"
    if ms < 600_000:
        return f"{ms / 1000:.0f} s"
    if ms < 3_600_000:
        return f"{ms / 60_000:.0f} min"
    hours = ms / 3_600_000
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"


def number(value: float) -> str:
    """Return a price or a quantity with all its digits, in groups of three.

    Example:
        >>> [number(value) for value in (67123.45, 0.00001234, 12.0, 1e-9)]
        ['67,123.45', '0.00001234', '12', '0.000000001']
    """
    text = f"{Decimal(repr(value)):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

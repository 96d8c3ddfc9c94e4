"""Times and spans as people write them: ``-10m``, ``2026-11-26T10:00Z``, ``1764151200000``; ``10s``. No I/O."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from tickfence.readers.quoting import quoted

TIMES = "milliseconds since 1970 UTC, ISO 8601 like 2026-11-26T10:00Z, now, or a time ago like -10m (ms, s, m, h, d)"
SPANS = "a whole number with its unit (ms, s, m, h, d), like 10s"

MAX_STEP_MS = 86_400_000

_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_MS = re.compile(r"[0-9]{1,14}")
_ISO = re.compile(r"[0-9]{4}-.*|[0-9]{8}T.*")


class BadRange(ValueError):
    """What was given is no time, no span, or no range. The text says so in one line, and what is accepted."""


class Range(NamedTuple):
    """The part of the past that a reader asks for.

    Attributes:
        since_ms: Its beginning, server ms, inclusive.
        until_ms: Its end, exclusive.
        step_ms: One row for each step, counted from 1970; 0: every row.
    """

    since_ms: int
    until_ms: int
    step_ms: int = 0


def parse_time(name: str, text: str, now_ms: int) -> int:
    """Return a time in ms.

    Args:
        name: Of the parameter; errors name it.
        text: As in ``TIMES``. ISO 8601 without an offset is UTC.
        now_ms: The server's time.

    Raises:
        BadRange: It is no time.

    Example:
        >>> parse_time("since", "-10m", 1_700_000_600_000)
        1700000000000
        >>> parse_time("since", "2023-11-14T22:13:20Z", 0)
        1700000000000
    """
    if text == "now":
        return now_ms
    if _MS.fullmatch(text):
        return int(text)
    if text.startswith("-") and (span := _span(text[1:])) is not None:
        return max(0, now_ms - span)
    if _ISO.fullmatch(text):
        try:
            at = datetime.fromisoformat(text)
            return max(0, round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))
        except (ValueError, OverflowError):
            pass
    plus = ", with its + written as %2B" if " " in text else ""
    raise BadRange(f"{name}={quoted(text)}: must be {TIMES}{plus}")


def parse_span(name: str, text: str, *, most_ms: int, least_ms: int = 1) -> int:
    """Return a span of time in ms.

    Args:
        name: Of the parameter; errors name it.
        text: As in ``SPANS``.
        most_ms: The longest that is accepted.
        least_ms: The shortest.

    Raises:
        BadRange: It is no span, too short, or too long.

    Example:
        >>> parse_span("step", "10s", most_ms=86_400_000)
        10000
    """
    found = _span(text)
    if found is None or not least_ms <= found <= most_ms:
        limits = f"from {written_span(least_ms)} to {written_span(most_ms)}"
        raise BadRange(f"{name}={quoted(text)}: must be {SPANS}, {limits}")
    return found


def parse_range(since: str, until: str, now_ms: int, step: str = "") -> Range:
    """Return a range.

    Args:
        since: As in ``TIMES``.
        until: As in ``TIMES``.
        now_ms: The server's time.
        step: As in ``SPANS``; ``""``: every row.

    Raises:
        BadRange: One of them cannot be read, or the end is before the beginning.
    """
    step_ms = parse_span("step", step, most_ms=MAX_STEP_MS) if step else 0
    found = Range(parse_time("since", since, now_ms), parse_time("until", until, now_ms), step_ms)
    if found.until_ms < found.since_ms:
        raise BadRange(f"until={quoted(until)}: must not be before since={quoted(since)}")
    return found


def written_span(ms: int) -> str:
    """Return a span as :func:`parse_span` reads it, in the largest unit that is exact.

    Example:
        >>> written_span(90_000), written_span(86_400_000)
        ('90s', '1d')
    """
    unit = next(name for name in ("d", "h", "m", "s", "ms") if ms % _UNITS[name] == 0)
    return f"{ms // _UNITS[unit]}{unit}"


def iso(ms: int) -> str:
    """Return a time as ISO 8601 in UTC, with its milliseconds.

    Example:
        >>> iso(1_700_000_000_042)
        '2023-11-14T22:13:20.042Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span(text: str) -> int | None:
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else None

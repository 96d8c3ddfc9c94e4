"""What ``celery backfill`` was asked for, as a job. Only :func:`recorded` reads anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tickfence.batch.job import Job
from tickfence.batch.partition import cut
from tickfence.cli.session import NotAccepted, NothingThere
from tickfence.instrument import Instrument, as_typed, parse_instrument
from tickfence.recordings.kinds import Kind
from tickfence.recordings.recording import Recording

MAX_PARTITIONS = 20_000

_DURATION = re.compile(r"([0-9]+)(ms|s|m|min|h)")
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_LEAST_MS = 10

Spans = Mapping[Instrument, tuple[int, int]]


def parse_time(option: str, text: str) -> int:
    """The Unix time in ms that ``text`` names.

    Raises:
        NotAccepted: it names none.

    Example:
        >>> parse_time("--from", "2026-12-02T10:00"), parse_time("--from", "2026-12-02T12:00+02:00")
        (1796205600000, 1796205600000)
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise NotAccepted(f"{option} {text!r} must be a time, like 2026-11-26T10:00 (UTC)") from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def parse_every(text: str) -> int | None:
    """The time between two reports in ms; ``None`` for the live cadence.

    Raises:
        NotAccepted: it names none.

    Example:
        >>> parse_every("live"), parse_every("250ms"), parse_every("1s")
        (None, 250, 1000)
    """
    if text == "live":
        return None
    found = _DURATION.fullmatch(text)
    every_ms = int(found[1]) * _UNITS[found[2]] if found else 0
    if every_ms < _LEAST_MS or every_ms > _UNITS["h"]:
        raise NotAccepted(f"--every {text!r} must be live, or a duration from {_LEAST_MS}ms to 1h, like 250ms or 1s")
    return every_ms


def parse_symbols(text: str | None) -> tuple[Instrument, ...]:
    """The symbols of a comma-separated list, each once; none where there is no list.

    Raises:
        NotAccepted: one of them cannot be a symbol.
    """
    names = [as_typed(name.strip()) for name in (text or "").split(",") if name.strip()]
    if text is not None and not names:
        raise NotAccepted("--symbols must name a symbol, like BTCUSDT,ETHUSDT")
    try:
        return tuple(dict.fromkeys(map(parse_instrument, names)))
    except ValueError as error:
        raise NotAccepted(f"--symbols: {error}") from None


def absolute(url: str) -> str:
    """``url`` for processes that run in other folders.

    Example:
        >>> absolute("s3://bucket/recordings"), absolute("/data")
        ('s3://bucket/recordings', '/data')
    """
    return url if "://" in url else str(Path(url).absolute())


def recorded(recording: Recording, symbols: Sequence[Instrument]) -> dict[Instrument, tuple[int, int]]:
    """The first and the last ms of what is recorded of each symbol; of all symbols if none is given."""
    names = symbols or [Instrument(name) for name in recording.symbols()]
    spans = {name: recording.span(Kind.DIFFS, name) for name in names}
    return {name: span for name, span in spans.items() if span is not None}


def new_job(
    job_id: str,
    now_ms: int,
    by: str,
    *,
    source: str,
    spans: Spans,
    from_: str | None,
    to: str | None,
    symbols: Sequence[Instrument],
    every: str,
    output: str | None,
) -> Job:
    """The job that was asked for.

    Args:
        job_id: its id.
        now_ms: the server's time.
        by: who asks.
        source: where the recordings are.
        spans: what is recorded.
        from_, to, symbols, every, output: the options.

    Raises:
        NotAccepted: an option cannot be used.
        NothingThere: nothing is recorded of what was asked for.
    """
    if from_ is None:
        raise NotAccepted("--from TIME is needed, or --resume JOB")
    from_ms, every_ms = parse_time("--from", from_), parse_every(every)
    to_ms = now_ms if to is None else parse_time("--to", to)
    if from_ms >= to_ms:
        raise NotAccepted(f"--from {from_} must be before {f'--to {to}' if to else 'now'}")
    wanted = list(symbols or spans)
    missing = [name for name in wanted if name not in spans]
    partitions = tuple(cut(wanted, from_ms, to_ms, spans))
    if missing or not partitions:
        what = ", ".join(missing) if missing else "that time"
        raise NothingThere(f"nothing is recorded of {what} in {source}; {_told(spans)}")
    if len(partitions) > MAX_PARTITIONS:
        raise NotAccepted(
            f"this is {len(partitions):,} hours of one symbol each; a job may have {MAX_PARTITIONS:,} at most"
        )
    place = absolute(output) if output else f"{source}/reports/job={job_id}"
    return Job(job_id, now_ms, source, place, every_ms, partitions, by)


def _told(spans: Spans) -> str:
    if not spans:
        return "there are no recordings"
    first, last = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
    shown = ", ".join(sorted(spans)[:10]) + (", ..." if len(spans) > 10 else "")
    return f"recorded are {shown} from {time_text(first)} to {time_text(last)}"


def time_text(at_ms: int) -> str:
    """A time for people.

    Example:
        >>> time_text(1_796_205_600_000)
        '2026-12-02T10:00:00Z'
    """
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"

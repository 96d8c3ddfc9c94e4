"""What ``celery backfill`` was asked for, as a job. Only :func:`recorded` reads anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tickfence.batch.job import Job
from tickfence.batch.partition import cut
from tickfence.cli.session import NotAccepted, NothingThere
from tickfence.instrument import Instrument, as_typed, parse_instrument
from tickfence.readers import when
from tickfence.readers.when import BadRange, iso
from tickfence.recordings.kinds import Kind
from tickfence.recordings.layout import HOUR_MS
from tickfence.recordings.recording import Recording

MAX_PARTITIONS = 20_000
LEAST_MS, LIVE = 10, "live"

Spans = Mapping[Instrument, tuple[int, int]]


def parse_time(option: str, text: str, now_ms: int) -> int:
    """The Unix time in ms that ``text`` names, see :func:`tickfence.readers.when.parse_time`.

    Raises:
        NotAccepted: it names none.
    """
    try:
        return when.parse_time(option, text, now_ms)
    except BadRange as error:
        raise NotAccepted(str(error)) from None


def parse_every(text: str | None) -> int | None:
    """The time between two reports in ms; ``None`` for the live cadence, which is the default.

    Raises:
        NotAccepted: it names none.

    Example:
        >>> parse_every("live"), parse_every("250ms"), parse_every("1s")
        (None, 250, 1000)
    """
    if text in (None, LIVE):
        return None
    try:
        return when.parse_span("--every", text, most_ms=HOUR_MS, least_ms=LEAST_MS)
    except BadRange as error:
        raise NotAccepted(f"{error}; or {LIVE}") from None


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
    """The first and the last ms of what is recorded of each symbol; of all symbols if none is given.

    Raises:
        NothingThere: nothing is recorded of any symbol.
    """
    if not recording.store.files(Kind.DIFFS):
        raise NothingThere(
            f"there are no recordings in {recording.store.root}: set NT_RECORDINGS to the folder or URL that recorders "
            "write into, or record first: make run ARGS=--record. A recorder's first files come after a minute"
        )
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
    every: str | None,
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
    from_ms, every_ms = parse_time("--from", from_, now_ms), parse_every(every)
    to_ms = now_ms if to is None else parse_time("--to", to, now_ms)
    if from_ms >= to_ms:
        raise NotAccepted(f"--from {from_} must be before {f'--to {to}' if to else 'now'}")
    wanted = list(symbols or spans)
    missing = [name for name in wanted if name not in spans]
    partitions = tuple(cut(wanted, from_ms, to_ms, spans))
    if missing or not partitions:
        what = ", ".join(missing) if missing else "that time"
        raise NothingThere(f"nothing is recorded of {what} in {source}; {told(spans)}")
    if len(partitions) > MAX_PARTITIONS:
        raise NotAccepted(
            f"this is {len(partitions):,} hours of one symbol each; a job may have {MAX_PARTITIONS:,} at most"
        )
    place = absolute(output) if output else f"{source}/reports/job={job_id}"
    return Job(job_id, now_ms, source, place, every_ms, partitions, by)


def told(spans: Spans) -> str:
    """What is recorded, for a user who asked for something else."""
    if not spans:
        return "leave out --symbols for all that is recorded"
    first, last = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
    shown = ", ".join(sorted(spans)[:10]) + (", ..." if len(spans) > 10 else "")
    return f"recorded are {shown} from {iso(first)} to {iso(last)}"

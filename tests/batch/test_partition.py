"""How a job's time is cut, and what its options mean."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.batch.recorded import BEGIN
from tickfence.batch.output import file_name
from tickfence.batch.partition import Partition, cut
from tickfence.cli.backfill_request import new_job, parse_every, parse_symbols, parse_time
from tickfence.cli.session import NotAccepted, NothingThere
from tickfence.instrument import Instrument
from tickfence.recordings.layout import HOUR_MS

SYMBOLS = [Instrument(name) for name in ("BTCUSDT", "okx:BTC-USDT", "kraken:BTC/USD")]
times = st.integers(BEGIN, BEGIN + 5 * HOUR_MS)


@given(times, times, st.dictionaries(st.sampled_from(SYMBOLS), st.tuples(times, times)) | st.none())
def test_the_partitions_are_the_recorded_part_of_the_time_each_ms_once(
    from_ms: int, to_ms: int, recorded: dict[Instrument, tuple[int, int]] | None
) -> None:
    parts = list(cut(SYMBOLS, from_ms, to_ms, recorded))
    assert len({part.name for part in parts}) == len(parts)
    for symbol in SYMBOLS:
        first, last = (from_ms, to_ms - 1) if recorded is None else recorded.get(symbol, (1, 0))
        wanted = max(first, from_ms), min(last + 1, to_ms)
        own = [part for part in parts if part.symbol == symbol]
        assert all(part.from_ms // HOUR_MS == (part.to_ms - 1) // HOUR_MS for part in own)
        assert all(one.to_ms == after.from_ms for one, after in pairwise(own))
        assert ([own[0].from_ms, own[-1].to_ms] if own else []) == ([*wanted] if wanted[0] < wanted[1] else [])
    assert [part.from_ms // HOUR_MS for part in parts] == sorted(part.from_ms // HOUR_MS for part in parts)


@given(st.sampled_from([*SYMBOLS, Instrument("ccxt:" + "安" * 40)]), times)
def test_names_tell_partitions_apart_and_are_no_path(symbol: Instrument, at_ms: int) -> None:
    part = Partition(symbol, at_ms, at_ms + 1)
    names = [file_name(job, part, token) for job in ("j-1", "j-2") for token in (1, 2)]
    assert len(set(names)) == 4 and "/" not in "".join(names)
    assert len(f"{file_name('20261127-101112-abcd', part, 10**13)}.part".encode()) <= 255


def ask(**asked: object) -> str:
    spans = {SYMBOLS[0]: (BEGIN, BEGIN + 2 * HOUR_MS)}
    usual = {"from_": "2025-12-02T10:00", "to": None, "symbols": (), "every": "live", "output": None}
    try:
        job = new_job("j", BEGIN + HOUR_MS * 9, "ann", source="/r", spans=spans, **usual | asked)
    except (NotAccepted, NothingThere) as error:
        return error.format_message()
    return f"{len(job.partitions)} to {job.output}"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "3 to /r/reports/job=j"),
        ({"to": "2025-12-02T13:00+01:00", "output": "/o"}, "2 to /o"),
        ({"from_": None}, "--from TIME is needed, or --resume JOB"),
        ({"from_": "-8h", "to": "-450m"}, "1 to /r/reports/job=j"),
        ({"from_": "yesterday"}, "--from='yesterday': must be milliseconds since 1970 UTC, ISO 8601 like 2026"),
        ({"to": "2025-12-02T10:00"}, "--from 2025-12-02T10:00 must be before --to 2025-12-02T10:00"),
        ({"symbols": SYMBOLS}, "nothing is recorded of okx:BTC-USDT, kraken:BTC/USD in /r; recorded are BTCUSDT from"),
        ({"from_": "2025-12-02T14:00"}, "nothing is recorded of that time in /r; recorded are BTCUSDT from 2025-12-0"),
        (
            {"every": "9ms"},
            "--every='9ms': must be a whole number with its unit (ms, s, m, h, d), like 10s, from 10ms to 1h; or live",
        ),
    ],
)
def test_what_is_asked_for_becomes_a_job_or_one_clear_line(asked: dict[str, object], said: str) -> None:
    assert ask(**asked).startswith(said)


def test_options() -> None:
    assert parse_symbols(" btcusdt,ETHUSDT,BTCUSDT") == ("BTCUSDT", "ETHUSDT")
    assert [parse_every(text) for text in (None, "live", "250ms", "5m")] == [None, None, 250, 300_000]
    assert [parse_time("--to", text, BEGIN + 5) for text in ("2025-12-02T10:00Z", "-5ms", "now")] == [
        BEGIN,
        BEGIN,
        BEGIN + 5,
    ]
    for wrong in (",", "BTC{}"):
        with pytest.raises(NotAccepted, match="--symbols"):
            parse_symbols(wrong)

"""The slow cycle: what need not be computed for every report, and how reports repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tickfence.analytics.anomalies import AnyAnomaly, find_anomalies
from tickfence.analytics.fields import Milliseconds, Severity
from tickfence.analytics.liquidity import Liquidity, find_liquidity
from tickfence.analytics.market import SlowMarket

if TYPE_CHECKING:  # the state holds what the slow cycle found, so its module imports this one
    from tickfence.analytics.symbol_state import SymbolState


class SlowSections(Struct, frozen=True):
    """What one slow cycle found; computed_at is the cycle's `now`."""

    computed_at: Milliseconds
    liquidity: Liquidity
    anomalies: list[AnyAnomaly]
    extensions: dict[str, Raw] | UnsetType = UNSET


class SplicedSections(NamedTuple):
    """Slow sections in their encoded form, so that each fast report only copies their bytes.

    `walls` and `vacuums` are how many there are, None without enough data; `worst` is the highest severity, None without any.
    `extensions` are the slow sections of other packages, by name.
    """

    computed_at: int
    liquidity: Raw
    anomalies: Raw
    severities: list[Severity]
    walls: int | None
    vacuums: int | None
    worst: Severity | None
    extensions: Mapping[str, Raw] = {}


_RANKS = {severity: rank for rank, severity in enumerate(get_args(Severity))}

encode_json = msgspec.json.Encoder().encode
_decode_slow_sections = msgspec.json.Decoder(SlowSections).decode


def run(state: SymbolState, now_ms: int, market: SlowMarket | None = None) -> bytes:
    """Computes the slow sections, stores them in the state for the reports that follow, and returns them as JSON.

    A node that passes this JSON to SymbolState.restore_slow() has the sections in its first report.

    Args:
        state: the symbol's state, with everything that is new already applied.
        now_ms: ms since the epoch on the clock of the receive times (the Redis server's).
        market: the state as of then, where the caller has it already.

    Raises:
        NotPublishable: the book has a gap, no snapshot, or sides that cross.
    """
    market = market or SlowMarket(state, now_ms)
    sections = SlowSections(now_ms, find_liquidity(market), find_anomalies(market))
    state.slow = splice(sections)
    return encode_json(sections)


def splice(sections: SlowSections) -> SplicedSections:
    """The sections in the form that reports copy."""
    severities = [anomaly.severity for anomaly in sections.anomalies]
    return SplicedSections(
        sections.computed_at,
        Raw(encode_json(sections.liquidity)),
        Raw(encode_json(sections.anomalies)),
        severities,
        _count(sections.liquidity.walls),
        _count(sections.liquidity.vacuums),
        max(severities, key=_RANKS.__getitem__, default=None),
        sections.extensions or {},
    )


def _count(findings: Any) -> int | None:
    return None if findings is UNSET else len(findings)


def decode_slow_sections(data: bytes) -> SlowSections:
    """Slow sections from the JSON that run() returned.

    Raises:
        ValueError: the data is not such JSON.
    """
    try:
        return _decode_slow_sections(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the slow sections of a report: {error}; got {data[:80]!r}") from error

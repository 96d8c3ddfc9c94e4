"""The parts of a report that the slow cycle computes, as typed values.

Prices are in quote currency, quantities in base currency, times in ms since the epoch.
"""

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tickfence.analytics.health import Severity

Price = Annotated[float, Meta(gt=0)]
Quantity = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[int, Meta(ge=0)]
Side = Literal["bid", "ask"]


class Wall(Struct, frozen=True, gc=False):
    """A level that holds far more than levels usually do."""

    side: Side
    price: Price
    qty: Quantity
    severity: Severity


class Vacuum(Struct, frozen=True, rename={"from_": "from"}, gc=False):
    """A run of neighbouring levels that hold next to nothing; `from` is its lowest price, `to` its highest."""

    from_: Price
    to: Price
    levels: Count
    severity: Severity


class VolumeProfile(Struct, frozen=True, gc=False):
    """At which prices the volume of the last 30 minutes was traded."""

    POC: Price
    VAL: Quantity
    VAH: Price
    window_sec: Count
    trade_count: Count


class Liquidity(Struct, frozen=True):
    """Where the book is thick and thin, and where volume was traded; what lacks data is left out."""

    walls: list[Wall] | UnsetType = UNSET
    vacuums: list[Vacuum] | UnsetType = UNSET
    volume_profile: VolumeProfile | UnsetType = UNSET


class Spoofing(Struct, frozen=True, tag_field="type", tag="spoofing", gc=False):
    """A large level far from the market that keeps being pulled before it trades."""

    severity: Severity
    side: Side
    price: Price
    pulls: Count
    changes: Count


class Iceberg(Struct, frozen=True, tag_field="type", tag="iceberg", gc=False):
    """A level that keeps trading without getting smaller."""

    severity: Severity
    side: Side
    price: Price
    trades: Count
    traded_qty: Quantity
    visible_qty: Quantity


class FlashCrashRisk(Struct, frozen=True, tag_field="type", tag="flash_crash_risk", gc=False):
    """Conditions under which prices fall through the book; `signals` names those that hold."""

    severity: Severity
    signals: list[Literal["wide_spread", "imbalance", "sell_acceleration"]]


Anomaly = Spoofing | Iceberg | FlashCrashRisk


class SlowSections(Struct, frozen=True):
    """What one slow cycle found; computed_at is the cycle's `now`."""

    computed_at: Milliseconds
    liquidity: Liquidity
    anomalies: list[Anomaly]


class SplicedSections(NamedTuple):
    """Slow sections kept encoded, so that each fast report only copies their bytes."""

    computed_at: int
    liquidity: Raw
    anomalies: Raw
    severities: list[Severity]


encode_json = msgspec.json.Encoder().encode
_decode_slow_sections = msgspec.json.Decoder(SlowSections).decode


def splice(sections: SlowSections) -> SplicedSections:
    """The sections ready for the fast reports that follow."""
    return SplicedSections(
        sections.computed_at,
        Raw(encode_json(sections.liquidity)),
        Raw(encode_json(sections.anomalies)),
        [anomaly.severity for anomaly in sections.anomalies],
    )


def decode_slow_sections(data: bytes) -> SlowSections:
    """Slow sections from the JSON that slow_cycle.run() returned.

    Raises:
        ValueError: the data is not such JSON.
    """
    try:
        return _decode_slow_sections(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the slow sections of a report: {error}; got {data[:80]!r}") from error

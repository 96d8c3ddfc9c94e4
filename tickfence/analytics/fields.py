"""Types of the report's numbers, and what is published of a number that may be missing.

Prices are in quote currency, quantities in base currency, times in ms since the epoch.
"""

from decimal import Decimal
from math import inf, isfinite
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from tickfence.analytics.limits import reached

Price = Annotated[float, Meta(gt=0)]
Quantity = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[int, Meta(ge=0)]
Side = Literal["bid", "ask"]
Severity = Literal["low", "medium", "high"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")
"""All severities, the worst last."""

QUANTITY_DECIMALS = 8

SIGNIFICANT_DIGITS = 15
"""Digits of a price that is computed while the tick size is unknown: as many as a double holds of every decimal."""


class Finding(Struct, frozen=True, gc=False):
    """Something that a calculator of the slow cycle found. The subclass is the calculator."""

    @property
    def note(self) -> str:
        """The finding in one line, for people."""
        raise NotImplementedError


def severity_of(value: float, medium: float, high: float) -> Severity:
    """`low` below `medium`, `high` from `high` on; the limits hold with the tolerance of `limits`."""
    return SEVERITIES[reached(value, medium) + reached(value, high)]


def number(value: float | None, decimals: int | None = None, lowest: float = -inf) -> float | UnsetType:
    """The rounded value, UNSET where there is none: for None, NaN, infinity and what is below `lowest`."""
    if value is None or not isfinite(value) or value < lowest:
        return UNSET
    # Adding 0.0 turns a negative zero, which rounding can make, into zero.
    return (value if decimals is None else round(value, decimals)) + 0.0


def price(value: float | None) -> float | UnsetType:
    """A price of the exchange, as it is; UNSET where there is none, or it is not above 0."""
    return value if value is not None and 0 < value < inf else UNSET


def computed_price(value: float | None, decimals: int | None) -> float | UnsetType:
    """A price that was computed from others, rounded; UNSET as price().

    Args:
        value: in quote currency.
        decimals: price_decimals() of the tick size; None while that is unknown: 15 significant digits.
    """
    if value is None or not 0 < value < inf:
        return UNSET
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if decimals is None else round(value, decimals)


def price_decimals(tick_size: float) -> int:
    """Decimals of a computed price: two more than the tick size has, so that half a tick is exact."""
    exponent = Decimal(repr(tick_size)).normalize().as_tuple().exponent
    return max(0, -int(exponent)) + 2


def readable(value: float) -> str:
    """A price or quantity as people read it, with 10 significant digits: 67,123.45."""
    return f"{value:,.10g}"

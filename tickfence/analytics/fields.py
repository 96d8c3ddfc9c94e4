"""Types of the report's numbers, and what is published of a number that may be missing.

Prices are in quote currency, quantities in base currency, times in ms since the epoch.
"""

from bisect import bisect
from math import inf, isfinite
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Price = Annotated[float, Meta(gt=0)]
Quantity = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[int, Meta(ge=0)]
Side = Literal["bid", "ask"]
Severity = Literal["low", "medium", "high"]

QUANTITY_DECIMALS = 8


class Finding(Struct, frozen=True, gc=False):
    """Something that a calculator of the slow cycle found. The subclass is the calculator."""

    @property
    def note(self) -> str:
        """The finding in one line, for people."""
        raise NotImplementedError


_SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high")


def severity_of(value: float, medium: float, high: float) -> Severity:
    """`low` below `medium`, `high` from `high` on."""
    return _SEVERITIES[bisect((medium, high), value)]


def number(value: float | None, decimals: int | None = None, lowest: float = -inf) -> float | UnsetType:
    """The rounded value, UNSET where there is none: for None, NaN, infinity and what is below `lowest`."""
    if value is None or not isfinite(value) or value < lowest:
        return UNSET
    # Adding 0.0 turns a negative zero, which rounding can make, into zero.
    return (value if decimals is None else round(value, decimals)) + 0.0


def price(value: float | None, decimals: int | None = None) -> float | UnsetType:
    """As number(); UNSET also where the rounded value is not above 0."""
    rounded = number(value, decimals)
    return rounded if rounded is UNSET or rounded > 0 else UNSET


def readable(value: float) -> str:
    """A price or quantity as people read it, with 10 significant digits: 67,123.45."""
    return f"{value:,.10g}"

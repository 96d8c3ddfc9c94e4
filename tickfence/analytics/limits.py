"""When a number is at a limit: one stated tolerance for every limit of the report.

The exchange's decimals are stored as binary fractions, so 0.1 x 1.5 is a little more than 0.15. A number within 10^-9 of
a limit (relative to the limit) counts as equal to it. So "at least" holds at the limit, and "more than" and "less than"
do not hold there.
"""

from typing import overload

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-9
"""Relative. It is far above the error of a sum of binary fractions, and far below a difference that means anything."""

DIFFERENCE = 1e-14
"""What the difference of a few numbers may be off by, relative to the largest of them."""

_LEAST = 1 - TOLERANCE

Numbers = NDArray[np.float64]


@overload
def reached(value: float, limit: float) -> bool: ...
@overload
def reached(value: Numbers, limit: float | Numbers) -> NDArray[np.bool_]: ...
def reached(value: float | Numbers, limit: float | Numbers) -> bool | NDArray[np.bool_]:
    """Whether a value is at least the limit, which is 0 or more."""
    return value >= limit * _LEAST


@overload
def below(value: float, limit: float) -> bool: ...
@overload
def below(value: Numbers, limit: float | Numbers) -> NDArray[np.bool_]: ...
def below(value: float | Numbers, limit: float | Numbers) -> bool | NDArray[np.bool_]:
    """Whether a value is less than the limit, which is 0 or more: the opposite of reached()."""
    return value < limit * _LEAST


@overload
def exceeds(value: float, limit: float, of: float = 0.0) -> bool: ...
@overload
def exceeds(value: Numbers, limit: float, of: float | Numbers = 0.0) -> NDArray[np.bool_]: ...
def exceeds(value: float | Numbers, limit: float, of: float | Numbers = 0.0) -> bool | NDArray[np.bool_]:
    """Whether a value is more than the limit, which is 0 or more.

    Args:
        value, limit: the numbers to compare.
        of: where they are differences, the largest of the numbers that were subtracted. The spread of two large prices
            is known to fewer digits than the prices.
    """
    return value > limit * (1 + TOLERANCE) + of * DIFFERENCE

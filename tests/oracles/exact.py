"""The exchange's decimals, exactly: what limits are compared in."""

from decimal import Decimal


def exact(value: float | Decimal) -> Decimal:
    """The decimal that the exchange wrote: the shortest that gives this float."""
    return value if isinstance(value, Decimal) else Decimal(repr(value))

"""Which side of the order book presses: the quantity near the mid price, on each side."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from tickfence.analytics.extensions import Section
from tickfence.analytics.market import SlowMarket, mid_price

NEAR_BPS = 100.0


class Pressure(Struct, frozen=True):
    """What the report shows. Quantities are in base currency."""

    within_bps: float
    bid_qty: Annotated[float, Meta(ge=0)]
    ask_qty: Annotated[float, Meta(ge=0)]
    bid_share: Annotated[float, Meta(ge=0, le=1)]


def pressure(market: SlowMarket) -> Pressure | UnsetType:
    """Sum up what is bid and asked within 1 % of the mid price; UNSET if there is nothing."""
    if not market.two_sided:
        return UNSET
    mid = mid_price(market.bid_prices[0], market.ask_prices[0])
    reach = mid * NEAR_BPS / 10_000
    bids, asks = (
        sum(quantity for price, quantity in zip(prices, quantities, strict=True) if abs(price - mid) <= reach)
        for prices, quantities in (
            (market.bid_prices, market.bid_quantities),
            (market.ask_prices, market.ask_quantities),
        )
    )
    if not bids + asks:
        return UNSET
    return Pressure(NEAR_BPS, round(bids, 8), round(asks, 8), round(bids / (bids + asks), 4))


section = Section(pressure)

"""Prices between the best bid and the best ask."""


def mid_price(bid: float, ask: float) -> float:
    """(bid + ask) / 2, in quote currency, unrounded."""
    return (bid + ask) / 2


def spread_bps(bid: float, ask: float) -> float:
    """(ask - bid) / mid x 10^4: the spread in basis points of the mid price, unrounded."""
    return (ask - bid) / mid_price(bid, ask) * 1e4


def micro_price(bid: float, bid_quantity: float, ask: float, ask_quantity: float) -> float:
    """The mid price weighted by the quantities opposite: (bid x ask_qty + ask x bid_qty) / (bid_qty + ask_qty).

    Leans to the ask when more is bid. In quote currency, unrounded, always within [bid, ask].
    Source: Gatheral and Oomen, "Zero-intelligence realized variance estimation" (2010).
    """
    # The same number as in the formula, written so that no product of price and quantity can overflow or vanish.
    return min(ask, bid + (ask - bid) * (bid_quantity / (bid_quantity + ask_quantity)))

"""What a report must show, from docs/report.md and the truth alone: whole numbers and fractions, no code of the product."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from tools.fuzz.world import Levels, Market

UNIT = 10**8
RATE_MS, NET_MS, PROFILE_MS = 10_000, 30_000, 1_800_000
BIN_TICKS, AREA = 5, Fraction(70, 100)
MINIMUM_TRADES = 10

Report = Mapping[str, Any]


class Difference(NamedTuple):
    """A number that is not true."""

    what: str
    reported: Any
    true: Any


def of_book(report: Report, market: Market, update_id: int) -> Iterator[Difference]:
    """What differs from the market's book at an update id."""
    shown = market.shown.get(update_id)
    if shown is None and update_id in market.forgotten:
        return
    if shown is None:
        yield Difference("update id", update_id, "one that the exchange has told")
        return
    depth = report["depth"]
    books = (shown.bids, shown.asks)
    sides = [[(float(market.price_text(t)), float(market.lots_text(n))) for t, n in side] for side in books]
    for name, side, best in (("bids", sides[0], "best_bid"), ("asks", sides[1], "best_ask")):
        found = [(level["price"], level["qty"]) for level in depth[name]]
        if found != side:
            yield Difference(f"depth.{name}", found, side)
            return
        top = report.get(best)
        if (None if top is None else (top["price"], top["qty"])) != (side[0] if side else None):
            yield Difference(best, top, side[:1])
    totals = [sum(market.lot_units(lots) for _, lots in side) for side in books]
    for name, units in (("total_bid_qty", totals[0]), ("total_ask_qty", totals[1])):
        yield from _near(f"depth.{name}", depth.get(name), Fraction(units, UNIT), 8)
    yield from _of_both_sides(report, market, books, totals)


def _of_both_sides(
    report: Report, market: Market, books: tuple[Levels, Levels], totals: list[int]
) -> Iterator[Difference]:
    names = ("mid_price", "micro_price", "spread_bps")
    if not all(books):
        for name in names:
            if name in report:
                yield Difference(name, report[name], "left out: a side is empty")
        return
    (bid_ticks, bid_lots), (ask_ticks, ask_lots) = books[0][0], books[1][0]
    bid, ask = (Fraction(market.price_units(ticks), UNIT) for ticks in (bid_ticks, ask_ticks))
    mid = (bid + ask) / 2
    micro = (bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots)
    decimals = market.kind.tick_decimals + 2
    yield from _near("mid_price", report.get("mid_price"), mid, decimals)
    yield from _near("micro_price", report.get("micro_price"), micro, decimals)
    yield from _near("spread_bps", report.get("spread_bps"), (ask - bid) / mid * 10_000, 4)
    balance = Fraction(totals[0] - totals[1], totals[0] + totals[1])
    yield from _near("depth.imbalance", report["depth"].get("imbalance"), balance, 4)


def of_trades(report: Report, market: Market, matches: int = 1) -> Iterator[Difference]:
    """What differs from the market's trades over the windows that the report states.

    Args:
        report: what is reported.
        market: the truth.
        matches: a trade may be this many of the exchange's, which are told as one; those that were missed come one by one.
    """
    until = report["ingestion"]["exchange_time"]
    flow = report.get("flow", {})
    times = market.times
    last = bisect_right(times, until)
    if "orders_per_sec" in flow:
        count = last - bisect_right(times, until - RATE_MS)
        if not count <= round(flow["orders_per_sec"] * 10, 6) <= count * matches:
            yield Difference("flow.orders_per_sec", flow["orders_per_sec"], count / 10)
        if flow["window_sec"] < RATE_MS // 1000:
            yield Difference("flow.window_sec with orders_per_sec", flow["window_sec"], "10 or more")
        if count and "last_price" in report:
            prices = [float(market.price_text(trade.ticks)) for trade in market.trades[last - 1 :]]
            if report["last_price"] not in prices:
                yield Difference("last_price", report["last_price"], f"of the newest trade: one of {prices}")
    if "net_flow" in flow:
        lots = market.net[last] - market.net[bisect_right(times, until - NET_MS)]
        yield from _near("flow.net_flow", flow["net_flow"], Fraction(market.lot_units(lots), UNIT), 8)
        if flow["window_sec"] != NET_MS // 1000:
            yield Difference("flow.window_sec with net_flow", flow["window_sec"], NET_MS // 1000)


def of_profile(profile: Report, market: Market, until: int) -> Iterator[Difference]:
    """What differs from the profile of the market's trades over the window it states, which ends at ``until`` (ms)."""
    last = bisect_right(market.times, until)
    seconds = profile["window_sec"]
    # The window is stated in whole seconds, so it may have begun up to a second earlier.
    most = last - bisect_right(market.times, until - min(PROFILE_MS, 1000 * seconds + 999))
    least = last - bisect_right(market.times, until - 1000 * seconds)
    count = profile["trade_count"]
    if not (least <= count <= most and count >= MINIMUM_TRADES and seconds <= PROFILE_MS // 1000):
        yield Difference(f"volume_profile.trade_count over {seconds} s", count, (least, most))
        return
    bins: dict[int, int] = {}
    for trade in market.trades[last - count : last]:
        number = trade.ticks // BIN_TICKS
        bins[number] = bins.get(number, 0) + trade.lots
    poc, low, high = _value_area(bins)
    tick = Fraction(market.price_units(1), UNIT)
    for name, ticks in (("POC", Fraction(2 * poc + 1, 2)), ("VAL", Fraction(low)), ("VAH", Fraction(high + 1))):
        yield from _near(f"volume_profile.{name}", profile[name], ticks * BIN_TICKS * tick, 9)


def of_ticker(report: Report, told: Sequence[tuple[int, Mapping[str, str]]]) -> Iterator[Difference]:
    """What differs from every ticker that was told in the last minute."""
    names = {"high_24h": "h", "low_24h": "l", "volume_24h": "v", "change_24h_pct": "P"}
    found = {name: report[name] for name in names if name in report}
    for _, values in reversed(told):
        if all(float(values[names[name]]) == value for name, value in found.items()):
            return
    if found:
        yield Difference("24 h statistics", found, "those of one ticker of the last minute")


def _value_area(bins: Mapping[int, int]) -> tuple[int, int, int]:
    """(fullest bin, lowest, highest) of the value area; ties go to the lower bin."""
    most = max(bins.values())
    poc = min(number for number, lots in bins.items() if lots == most)
    below = sorted(number for number in bins if number < poc)
    above = sorted((number for number in bins if number > poc), reverse=True)
    low = high = poc
    held, wanted = most, AREA * sum(bins.values())
    while held < wanted:
        next_below = bins.get(low - 1, 0) if below else -1
        next_above = bins.get(high + 1, 0) if above else -1
        if next_below >= next_above:
            low = below.pop()  # over empty bins, to the next one with trades: each of them is a tie
            held += bins[low]
        else:
            high = above.pop()
            held += bins[high]
    return poc, low, high


def _near(what: str, reported: float | None, true: Fraction, decimals: int) -> Iterator[Difference]:
    """Whether a number is the true one, rounded to some decimals; a double holds sixteen digits."""
    if reported is None:
        yield Difference(what, "left out", float(true))
        return
    off = abs(Fraction(reported) - true)
    if off > Fraction(51, 100 * 10**decimals) + abs(true) / 10**15:
        yield Difference(what, reported, float(true))

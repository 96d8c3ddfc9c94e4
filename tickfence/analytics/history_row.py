"""One row of a symbol's recent history: what a report said in few numbers, in 46 bytes.

Layout, little-endian: 18 bytes of whole numbers, then one float64 and five float32.

The 18 bytes are one number of 144 bits. From the lowest bit on:

| bits | number | none |
| ---: | --- | --- |
| 4 | version of the layout: 1 | |
| 44 | `time_ms` | |
| 44 | `token` | |
| 16 | `orders_per_sec` in tenths | 65535 |
| 10 | `health` in tenths | |
| 6 | `anomalies`; 62 is that or more | 63 |
| 7 | `walls`; 126 is that or more | 127 |
| 7 | `vacuums`; 126 is that or more | 127 |
| 2 | `severity`: 1 low, 2 medium, 3 high | 0 |
| 2 | `status`: 0 ok, 1 degraded, 2 down | |
| 1 | 1: there is no `mid_price`, and `last_price` is in its place | |
| 1 | unused | |

The float64 is `mid_price`. The float32 have 6 digits: the distance from there to `last_price`, then `spread_bps`, `bid_qty`,
`ask_qty` and `net_flow`. NaN stands for none. `imbalance` is computed from the two quantities. `last_price` is exact where it
has no more decimals than its distance has with 6 digits.
"""

from __future__ import annotations

import math
from struct import Struct as Layout

import msgspec
from msgspec import UNSET

from tickfence.analytics.fields import Severity, number
from tickfence.analytics.market import imbalance
from tickfence.analytics.report import Report, Status
from tickfence.analytics.slow_cycle import SplicedSections

VERSION = 1
ROW = Layout("<18sd5f")

RATIO_DECIMALS = 4
_DIGITS = 6
_LARGEST = 3e38
"""A float32 holds no larger number."""

_TIMES, _RATE, _FINDINGS, _ANOMALIES = (1 << 44) - 1, 0xFFFF, 0x7F, 0x3F
_SEVERITIES: tuple[Severity | None, ...] = (None, "low", "medium", "high")
_STATUSES: tuple[Status, ...] = ("ok", "degraded", "down")
_SEVERITY_BITS = {severity: number << 138 for number, severity in enumerate(_SEVERITIES)}
_STATUS_BITS = {status: number << 140 for number, status in enumerate(_STATUSES)}
_LAST_ONLY = 1 << 142
_NAN = math.nan


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one report said; None where it left a number out.

    Attributes:
        time_ms: the report's `updatedAt`, ms.
        token: fencing token of its writer.
        mid_price, last_price: in quote currency.
        spread_bps: in basis points.
        bid_qty, ask_qty: totals of the 20 best levels, in base currency.
        imbalance: of these totals, from -1 to 1.
        orders_per_sec, net_flow: as the report's `flow`.
        health: its score.
        walls, vacuums, anomalies: how many there are.
        severity: the worst of the anomalies.
        status: of the ingestion.
    """

    time_ms: int
    token: int
    mid_price: float | None = None
    spread_bps: float | None = None
    bid_qty: float | None = None
    ask_qty: float | None = None
    imbalance: float | None = None
    orders_per_sec: float | None = None
    net_flow: float | None = None
    health: float
    walls: int | None = None
    vacuums: int | None = None
    anomalies: int | None = None
    severity: Severity | None = None
    last_price: float | None = None
    status: Status


FIELDS: tuple[str, ...] = HistoryRow.__struct_fields__


def of_report(report: Report, slow: SplicedSections | None) -> HistoryRow:
    """The row of a report.

    Args:
        report: as `report.make()` returns it.
        slow: the state's slow sections. What the report leaves out of them, the row leaves out as well.
    """
    liquidity = None if report.liquidity is UNSET else slow
    found = None if report.anomalies is UNSET else slow
    depth, flow = report.depth, report.flow
    return HistoryRow(
        time_ms=report.updated_at,
        token=report.writer.writer_token,
        # Written out, as in pack().
        mid_price=None if (mid := report.mid_price) is UNSET else mid,
        spread_bps=None if (spread := report.spread_bps) is UNSET else spread,
        bid_qty=None if (bid := depth.total_bid_qty) is UNSET else bid,
        ask_qty=None if (ask := depth.total_ask_qty) is UNSET else ask,
        imbalance=None if (share := depth.imbalance) is UNSET else share,
        orders_per_sec=None if (rate := flow.orders_per_sec) is UNSET else rate,
        net_flow=None if (net := flow.net_flow) is UNSET else net,
        health=report.health.score,
        walls=None if liquidity is None else liquidity.walls,
        vacuums=None if liquidity is None else liquidity.vacuums,
        anomalies=None if found is None else len(found.severities),
        severity=None if found is None else found.worst,
        last_price=None if (last := report.last_price) is UNSET else last,
        status=report.ingestion.status,
    )


def pack(row: HistoryRow) -> bytes:
    """The row in 46 bytes.

    What the layout cannot hold is left out (a float32 beyond 3e38), or stored as the largest number there is.
    """
    time_ms, token, rate = row.time_ms, row.token, row.orders_per_sec
    mid, last = row.mid_price, row.last_price
    anomalies, walls, vacuums = row.anomalies, row.walls, row.vacuums
    # Written out, since a node packs thousands a second: a function for each number takes twice as long.
    whole = (
        VERSION
        | (time_ms if time_ms < _TIMES else _TIMES) << 4
        | (token if token < _TIMES else _TIMES) << 48
        | (_RATE if rate is None else min(round(rate * 10), _RATE - 1)) << 92
        | round(row.health * 10) << 108
        | (_ANOMALIES if anomalies is None else anomalies if anomalies < _ANOMALIES else _ANOMALIES - 1) << 118
        | (_FINDINGS if walls is None else walls if walls < _FINDINGS else _FINDINGS - 1) << 124
        | (_FINDINGS if vacuums is None else vacuums if vacuums < _FINDINGS else _FINDINGS - 1) << 131
        | _SEVERITY_BITS[row.severity]
        | _STATUS_BITS[row.status]
        | (_LAST_ONLY if mid is None and last is not None else 0)
    ).to_bytes(18, "little")
    price = mid if mid is not None else _NAN if last is None else last
    distance = _NAN if mid is None or last is None else last - mid
    spread, bid, ask, net = row.spread_bps, row.bid_qty, row.ask_qty, row.net_flow
    spread, bid = _NAN if spread is None else spread, _NAN if bid is None else bid
    ask, net = _NAN if ask is None else ask, _NAN if net is None else net
    try:
        return ROW.pack(whole, price, distance, spread, bid, ask, net)
    except OverflowError:
        singles = (number if abs(number) <= _LARGEST else _NAN for number in (distance, spread, bid, ask, net))
        return ROW.pack(whole, price, *singles)


def unpack(data: bytes) -> HistoryRow:
    """The row that `pack` made.

    Raises:
        ValueError: it is none, or of another version.
    """
    _check(data)
    head, price, distance, spread, bid, ask, net = ROW.unpack(data)
    numbers = int.from_bytes(head, "little")
    rate, status = numbers >> 92 & _RATE, numbers >> 140 & 3
    if status >= len(_STATUSES):
        raise ValueError(f"a history row has status 0, 1 or 2, not {status}: {data!r}")
    bid_qty, ask_qty = _shown(bid), _shown(ask)
    return HistoryRow(
        time_ms=numbers >> 4 & _TIMES,
        token=numbers >> 48 & _TIMES,
        mid_price=None if numbers & _LAST_ONLY else _exact(price),
        spread_bps=_shown(spread),
        bid_qty=bid_qty,
        ask_qty=ask_qty,
        imbalance=_imbalance(bid_qty, ask_qty),
        orders_per_sec=None if rate == _RATE else rate / 10,
        net_flow=_shown(net),
        health=(numbers >> 108 & 0x3FF) / 10,
        walls=_counted(numbers >> 124 & _FINDINGS, _FINDINGS),
        vacuums=_counted(numbers >> 131 & _FINDINGS, _FINDINGS),
        anomalies=_counted(numbers >> 118 & _ANOMALIES, _ANOMALIES),
        severity=_SEVERITIES[numbers >> 138 & 3],
        last_price=price if numbers & _LAST_ONLY else _last(price, distance),
        status=_STATUSES[status],
    )


def time_of(data: bytes) -> int:
    """The `time_ms` of a packed row, for who reads many and unpacks few.

    Raises:
        ValueError: it is no row, or of another version.
    """
    _check(data)
    return int.from_bytes(data[:6], "little") >> 4 & _TIMES


def _check(data: bytes) -> None:
    if len(data) != ROW.size or data[0] & 0xF != VERSION:
        found = f"{len(data)} bytes" if len(data) != ROW.size else f"version {data[0] & 0xF}"
        raise ValueError(f"a history row has {ROW.size} bytes and version {VERSION}, not {found}: {data[:60]!r}")


def _counted(value: int, none: int) -> int | None:
    return None if value == none else value


def _exact(value: float) -> float | None:
    return None if math.isnan(value) else value


def _last(mid: float, distance: float) -> float | None:
    if not distance:
        return mid
    if not math.isfinite(distance):
        return None
    return round(mid + distance, _DIGITS - 1 - math.floor(math.log10(abs(distance))))


def _shown(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.{_DIGITS}g}") + 0.0


def _imbalance(bid_qty: float | None, ask_qty: float | None) -> float | None:
    if bid_qty is None or ask_qty is None:
        return None
    share = number(imbalance(bid_qty, ask_qty), RATIO_DECIMALS)
    return None if share is UNSET else share

"""One row of a symbol's recent history: what a report said in few numbers, in 50 bytes.

Layout, little-endian: 18 bytes of whole numbers, then two float64 and four float32.

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
| 2 | unused | |

The floats are `mid_price` and `last_price`, exact, then `spread_bps`, `bid_qty`, `ask_qty` and `net_flow` with 6 digits.
NaN stands for none. `imbalance` is computed from the two quantities.
"""

from __future__ import annotations

import math
from struct import Struct as Layout
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from tickfence.analytics.fields import Severity, number
from tickfence.analytics.market import imbalance
from tickfence.analytics.report import Report, Status
from tickfence.analytics.slow_cycle import SplicedSections

VERSION = 1
ROW = Layout("<18sdd4f")

RATIO_DECIMALS = 4
_DIGITS = 6
_LARGEST = 3e38
"""A float32 holds no larger number."""

_TIMES, _RATE, _FINDINGS, _ANOMALIES = (1 << 44) - 1, 0xFFFF, 0x7F, 0x3F
_SEVERITIES: tuple[Severity | None, ...] = (None, "low", "medium", "high")
_STATUSES: tuple[Status, ...] = ("ok", "degraded", "down")
_NAN = math.nan

_Value = TypeVar("_Value")


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
        mid_price=_given(report.mid_price),
        spread_bps=_given(report.spread_bps),
        bid_qty=_given(depth.total_bid_qty),
        ask_qty=_given(depth.total_ask_qty),
        imbalance=_given(depth.imbalance),
        orders_per_sec=_given(flow.orders_per_sec),
        net_flow=_given(flow.net_flow),
        health=report.health.score,
        walls=None if liquidity is None else liquidity.walls,
        vacuums=None if liquidity is None else liquidity.vacuums,
        anomalies=None if found is None else len(found.severities),
        severity=None if found is None else found.worst,
        last_price=_given(report.last_price),
        status=report.ingestion.status,
    )


def pack(row: HistoryRow) -> bytes:
    """The row in 50 bytes.

    What the layout cannot hold is left out (a float32 beyond 3e38), or stored as the largest number there is.
    """
    rate = row.orders_per_sec
    numbers = (
        VERSION
        | min(row.time_ms, _TIMES) << 4
        | min(row.token, _TIMES) << 48
        | (_RATE if rate is None else min(round(rate * 10), _RATE - 1)) << 92
        | round(row.health * 10) << 108
        | _count(row.anomalies, _ANOMALIES) << 118
        | _count(row.walls, _FINDINGS) << 124
        | _count(row.vacuums, _FINDINGS) << 131
        | _SEVERITIES.index(row.severity) << 138
        | _STATUSES.index(row.status) << 140
    )
    mid, last = row.mid_price, row.last_price
    return ROW.pack(
        numbers.to_bytes(18, "little"),
        _NAN if mid is None else mid,
        _NAN if last is None else last,
        _single(row.spread_bps),
        _single(row.bid_qty),
        _single(row.ask_qty),
        _single(row.net_flow),
    )


def unpack(data: bytes) -> HistoryRow:
    """The row that `pack` made.

    Raises:
        ValueError: it is none, or of another version.
    """
    if len(data) != ROW.size or data[0] & 0xF != VERSION:
        found = f"{len(data)} bytes" if len(data) != ROW.size else f"version {data[0] & 0xF}"
        raise ValueError(f"a history row has {ROW.size} bytes and version {VERSION}, not {found}: {data[:60]!r}")
    head, mid, last, spread, bid, ask, net = ROW.unpack(data)
    numbers = int.from_bytes(head, "little")
    rate, status = numbers >> 92 & _RATE, numbers >> 140 & 3
    if status >= len(_STATUSES):
        raise ValueError(f"a history row has status 0, 1 or 2, not {status}: {data!r}")
    bid_qty, ask_qty = _shown(bid), _shown(ask)
    return HistoryRow(
        time_ms=numbers >> 4 & _TIMES,
        token=numbers >> 48 & _TIMES,
        mid_price=_exact(mid),
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
        last_price=_exact(last),
        status=_STATUSES[status],
    )


def _given(value: _Value | UnsetType) -> _Value | None:
    return None if isinstance(value, UnsetType) else value


def _count(value: int | None, none: int) -> int:
    return none if value is None else min(value, none - 1)


def _counted(value: int, none: int) -> int | None:
    return None if value == none else value


def _single(value: float | None) -> float:
    return _NAN if value is None or not -_LARGEST <= value <= _LARGEST else value


def _exact(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.{_DIGITS}g}") + 0.0


def _imbalance(bid_qty: float | None, ask_qty: float | None) -> float | None:
    if bid_qty is None or ask_qty is None:
        return None
    return _given(number(imbalance(bid_qty, ask_qty), RATIO_DECIMALS))

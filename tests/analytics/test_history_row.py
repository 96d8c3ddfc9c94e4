"""Rows of history and bases: what goes in comes out, what is none of them is refused."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.analytics.history_row import FIELDS, ROW, HistoryRow, pack, unpack


def single(minimum: float = -3e38, maximum: float = 3e38) -> st.SearchStrategy[float | None]:
    """What a float32 holds with six digits."""
    numbers = st.floats(minimum, maximum).map(lambda value: float(f"{value:.6g}") + 0.0)
    return st.none() | numbers.filter(lambda value: value == 0 or abs(value) > 1e-37)


counts = st.none() | st.integers(0, 62)


@st.composite
def prices(draw: st.DrawFn) -> dict[str, float | None]:
    """Prices of an instrument with up to 8 decimals: a last one at a tick, up to 1,000 ticks from the mid."""
    decimals, ticks = draw(st.integers(0, 8)), draw(st.integers(2001, 10**9))
    mid = draw(st.none() | st.just(round(ticks / 2 / 10**decimals, decimals + 2)))
    last = round((ticks // 2 + draw(st.integers(-1000, 1000))) / 10**decimals, decimals)
    return {"mid_price": mid, "last_price": draw(st.none() | st.just(last))}


ROWS = st.fixed_dictionaries(
    {
        "time_ms": st.integers(0, 2**44 - 1),
        "token": st.integers(1, 2**44 - 1),
        "spread_bps": single(0),
        "bid_qty": single(0),
        "ask_qty": single(0),
        "net_flow": single(),
        "orders_per_sec": st.none() | st.integers(0, 65534).map(lambda tenths: tenths / 10),
        "health": st.integers(0, 1000).map(lambda tenths: tenths / 10),
        "walls": counts,
        "vacuums": counts,
        "anomalies": counts,
        "severity": st.sampled_from([None, "low", "medium", "high"]),
        "status": st.sampled_from(["ok", "degraded", "down"]),
    }
)


def imbalance(bid: float | None, ask: float | None) -> float | None:
    return round((bid - ask) / (bid + ask), 4) + 0.0 if bid and ask else None


@given(values=ROWS, of_price=prices())
def test_a_row_comes_out_as_it_went_in(values: dict[str, Any], of_price: dict[str, Any]) -> None:
    row = HistoryRow(**values, **of_price, imbalance=imbalance(values["bid_qty"], values["ask_qty"]))
    assert unpack(pack(row)) == row


@given(value=st.floats(-1e30, 1e30))
def test_a_number_keeps_six_digits(value: float) -> None:
    row = unpack(pack(HistoryRow(time_ms=1, token=1, net_flow=value, health=0, status="ok")))
    assert row.net_flow == pytest.approx(value, rel=5.1e-6, abs=1e-37)


def test_what_the_layout_cannot_hold_is_left_out_or_the_largest_there_is() -> None:
    given = HistoryRow(
        time_ms=2**60,
        token=2**60,
        mid_price=1e300,
        last_price=2e300,
        bid_qty=1e300,
        net_flow=-1e39,
        orders_per_sec=1e6,
        health=100.0,
        walls=1000,
        vacuums=1000,
        anomalies=1000,
        severity="high",
        status="down",
    )
    row = unpack(pack(given))
    assert (row.mid_price, row.last_price, row.bid_qty, row.net_flow) == (1e300, None, None, None)
    assert (row.walls, row.vacuums, row.anomalies, row.orders_per_sec) == (126, 126, 62, 6553.4)
    assert row.time_ms == row.token == 2**44 - 1


def test_the_documented_layout_is_the_one_in_use() -> None:
    row = HistoryRow(time_ms=1_700_000_000_123, token=7, mid_price=100.5, health=87.5, severity="high", status="down")
    head, mid, distance, *floats = struct.unpack("<18sd5f", pack(row))
    whole = int.from_bytes(head, "little")
    assert (whole & 15, whole >> 4 & 2**44 - 1, whole >> 48 & 2**44 - 1) == (1, 1_700_000_000_123, 7)
    assert [whole >> shift & 2**bits - 1 for shift, bits in ((92, 16), (108, 10), (118, 6))] == [65535, 875, 63]
    assert [whole >> shift & 2**bits - 1 for shift, bits in ((124, 7), (131, 7), (138, 2), (140, 2))] == [
        127,
        127,
        3,
        2,
    ]
    assert mid == 100.5
    assert all(map(math.isnan, (distance, *floats)))
    assert ROW.size == 46
    assert set(FIELDS) == set(HistoryRow.__annotations__)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (b"\x01" + bytes(48), "49 bytes"),
        (b"\x02" + bytes(45), "version 2"),
        ((1 | 3 << 140).to_bytes(18, "little") + bytes(28), "not 3"),
    ],
)
def test_what_is_no_row_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unpack(data)

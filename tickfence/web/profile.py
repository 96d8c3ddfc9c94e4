"""The volume profile of a symbol as a histogram, from the stream of trades: the report has only its three prices."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct

from tickfence.analytics.liquidity.volume_profile import WINDOW_MS, RollingVolumeProfile
from tickfence.analytics.trade_window import TradeWindow
from tickfence.streams.codec import INFO_FIELDS, BadEntry, TradeEntry, decode_info, decode_trade
from tickfence.streams.keys import info_key, trades_key
from tickfence.web.data_plane import DataPlane, Unreadable

MOST_TRADES = 20_000
"""The newest so many are counted, which is as many as a node reads at its start."""
_AT_ONCE = 2_000  # entries by one command, and decoded before others have their turn
_KEPT_S = 5.0


class Profile(Struct, frozen=True, rename="camel"):
    """At which prices the last 30 minutes were traded."""

    symbol: str
    window_sec: Annotated[int, Meta(description="1800; less where more trades than are counted fell into it.")]
    trade_count: int
    bin_width: Annotated[float | None, Meta(description="5 ticks; null while the tick size is not known.")]
    bins: Annotated[
        list[tuple[float, float]], Meta(description="[lower edge, volume], rising; those without are left out.")
    ]


class _Slot:
    """One symbol's profile, and when its reading began (monotonic seconds)."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.at = -_KEPT_S
        self.profile: Profile | None = None


class Profiles:
    """Profiles of whichever symbols are asked for, each read at most once in five seconds.

    Parameters:
        plane: where trades are read from.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._slots: dict[str, _Slot] = {}

    async def get(self, symbol: str) -> Profile:
        """The profile of ``symbol``, at most some seconds old.

        Raises:
            web.data_plane.Unavailable: Redis is away, or an entry of the stream is no trade.
        """
        slot = self._slots.setdefault(symbol, _Slot())
        async with slot.lock:  # who comes while it is read waits for the same one
            now = time.monotonic()
            if slot.profile is None or now - slot.at >= _KEPT_S:
                try:
                    slot.at, slot.profile = now, await read_profile(self._plane, symbol)
                except BadEntry as error:
                    raise Unreadable(f"{symbol}: {error}") from error
            found = slot.profile
        self._slots = {
            name: kept for name, kept in self._slots.items() if kept.lock.locked() or now - kept.at < _KEPT_S
        }
        return found


async def read_profile(plane: DataPlane, symbol: str) -> Profile:
    """Count the newest trades of the last 30 minutes, at most `MOST_TRADES`, in turns."""
    now_ms, [values] = await plane.read([("HMGET", info_key(symbol), *INFO_FIELDS)])
    since_ms = now_ms - WINDOW_MS
    newest_first: list[TradeEntry] = []
    before, cut = "+", True
    while cut and len(newest_first) < MOST_TRADES:
        _, [entries] = await plane.read([("XREVRANGE", trades_key(symbol), before, since_ms + 1, "COUNT", _AT_ONCE)])
        newest_first += [decode_trade(*entry) for entry in entries]
        cut = len(entries) == _AT_ONCE
        before = f"({entries[-1][0].decode()}" if entries else "-"
    trades = TradeWindow()
    trades.complete_after_ms = newest_first[-1].time_ms if cut else 0
    oldest_first = newest_first[::-1]
    trades.extend(
        [trade.time_ms for trade in oldest_first],
        [trade.price for trade in oldest_first],
        [trade.quantity for trade in oldest_first],
        [trade.is_buy for trade in oldest_first],
    )
    window_sec = min(WINDOW_MS, now_ms - trades.complete_after_ms) // 1000
    info = decode_info(values)
    if info is None:
        return Profile(symbol, window_sec, len(trades), None, [])
    rolling = RollingVolumeProfile(info.tick_size)
    rolling.update(trades, now_ms)
    return Profile(symbol, window_sec, len(trades), rolling.bin_width, rolling.bins())

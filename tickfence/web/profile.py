"""The volume profile of a symbol as a histogram, from the stream of trades. The report has only its three prices."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct

from tickfence.analytics.liquidity.volume_profile import WINDOW_MS, RollingVolumeProfile
from tickfence.analytics.trade_window import TradeWindow
from tickfence.readers.data_plane import Unreadable
from tickfence.readers.reader import Reader
from tickfence.streams.codec import INFO_FIELDS, BadEntry, TradeEntry, decode_info, decode_trade

MAX_TRADES = 20_000
"""How many of the newest trades are counted: as many as a node reads at its start."""
_AT_ONCE = 2_000  # entries read and decoded at once, so that other requests do not wait long
_KEPT_S = 5.0


class Profile(Struct, frozen=True, rename="camel"):
    """How much was traded at which price in the last 30 minutes."""

    symbol: str
    window_sec: Annotated[
        int, Meta(description="Seconds covered: 1800, or less if there were more trades than are counted.")
    ]
    trade_count: int
    bin_width: Annotated[float | None, Meta(description="5 ticks; null while the tick size is not known.")]
    bins: Annotated[
        list[tuple[float, float]], Meta(description="[lower edge, volume], rising. Bins without volume are left out.")
    ]


class _Slot:
    """One symbol's profile, and when reading it began (monotonic seconds)."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.at = -_KEPT_S
        self.profile: Profile | None = None


class Profiles:
    """The profiles that clients ask for, each read at most once in five seconds.

    Args:
        reader: Reads the trades.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._slots: dict[str, _Slot] = {}

    async def get(self, symbol: str) -> Profile:
        """Return the profile of ``symbol``, at most five seconds old.

        Raises:
            Unavailable: Redis does not answer, or an entry of the stream is not a trade.
        """
        slot = self._slots.setdefault(symbol, _Slot())
        async with slot.lock:  # requests that come while it is read wait for the same profile
            now = time.monotonic()
            if slot.profile is None or now - slot.at >= _KEPT_S:
                try:
                    slot.at, slot.profile = now, await fetch_profile(self._reader, symbol)
                except BadEntry as error:
                    raise Unreadable(f"{symbol}: {error}") from error
            found = slot.profile
        self._slots = {
            name: kept for name, kept in self._slots.items() if kept.lock.locked() or now - kept.at < _KEPT_S
        }
        return found


async def fetch_profile(reader: Reader, symbol: str) -> Profile:
    """Count the newest trades of the last 30 minutes, at most `MAX_TRADES`, a part at a time."""
    plane, keys = reader.plane, reader.keys
    now_ms, [values] = await plane.read([("HMGET", keys.info(symbol), *INFO_FIELDS)])
    since_ms = now_ms - WINDOW_MS
    newest_first: list[TradeEntry] = []
    before, cut = "+", True
    while cut and len(newest_first) < MAX_TRADES:
        _, [entries] = await plane.read([("XREVRANGE", keys.trades(symbol), before, since_ms + 1, "COUNT", _AT_ONCE)])
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
    if info is None or info.tick_size is None:
        return Profile(symbol, window_sec, len(trades), None, [])
    rolling = RollingVolumeProfile(info.tick_size)
    rolling.update(trades, now_ms)
    return Profile(symbol, window_sec, len(trades), rolling.bin_width, rolling.bins())

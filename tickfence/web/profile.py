"""The volume profile of a symbol as a histogram, from the stream of trades. The report has only its three prices."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from tickfence.analytics.liquidity.volume_profile import WINDOW_MS, RollingVolumeProfile, covered_ms
from tickfence.analytics.report import SLOW_MAX_AGE_MS
from tickfence.analytics.trade_window import TradeWindow
from tickfence.readers.data_plane import Unreadable
from tickfence.readers.reader import Reader
from tickfence.streams.codec import INFO_FIELDS, BadEntry, TradeEntry, decode_info, decode_trade

MAX_TRADES = 20_000
"""How many of the newest trades are counted: as many as a node reads at its start."""
_AT_ONCE = 2_000  # entries read and decoded at once, so that other requests do not wait long
_KEPT_S = 5.0


class Profile(Struct, frozen=True, rename="camel"):
    """How much was traded at which price in the last 30 minutes, on the exchange's clock."""

    symbol: str
    window_sec: Annotated[
        int,
        Meta(
            description="Seconds covered: 1800, or less if the report's profile covers less, or there are more trades than are "
            "counted. 0 while the report has no profile."
        ),
    ]
    trade_count: int
    bin_width: Annotated[float | None, Meta(description="5 ticks; null while the tick size is not known.")]
    bins: Annotated[
        list[tuple[float, float]], Meta(description="[lower edge, volume], rising. Bins without volume are left out.")
    ]


class _Slot(NamedTuple):
    """One symbol's profile, and when reading it began (monotonic seconds)."""

    at: float
    reading: asyncio.Future[Profile]

    def is_old(self, now: float) -> bool:
        """Whether it is to be read again."""
        if not self.reading.done():
            return False
        return now - self.at >= _KEPT_S or self.reading.cancelled() or self.reading.exception() is not None


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

        Requests that come while it is read wait for the same profile, or for the same error.

        Raises:
            Unavailable: Redis does not answer, or an entry of the stream is not a trade.
        """
        now = time.monotonic()
        self._slots = {name: slot for name, slot in self._slots.items() if not slot.is_old(now)}
        slot = self._slots.get(symbol)
        if slot is None:
            slot = self._slots[symbol] = _Slot(now, asyncio.ensure_future(fetch_profile(self._reader, symbol)))
        try:
            return await asyncio.shield(slot.reading)  # a client that goes does not end it for the others
        except BadEntry as error:
            raise Unreadable(f"{symbol}: {error}") from error


class _Ingestion(Struct, frozen=True, gc=False):
    exchange_time: int


class _Coverage(Struct, frozen=True, gc=False):
    window_sec: int


class _Liquidity(Struct, frozen=True, gc=False):
    volume_profile: _Coverage | None = None


class _Windows(Struct, frozen=True, gc=False):
    """The part of a report that tells what its profile covers."""

    updated_at: int = msgspec.field(name="updatedAt")
    ingestion: _Ingestion
    liquidity: _Liquidity = _Liquidity()


_decode = msgspec.json.Decoder(_Windows).decode


def _window(report: bytes | None, read_ms: int) -> tuple[int, int] | None:
    """Where the window of a report's profile begins, and where it ends at `read_ms`; None without a profile.

    Nor is there one in a report so old that its node would leave the profile out: what was lost since, nobody tells.
    """
    try:
        found = None if report is None else _decode(report)
    except msgspec.DecodeError:
        return None
    if found is None or found.liquidity.volume_profile is None or read_ms - found.updated_at > SLOW_MAX_AGE_MS:
        return None
    market_ms = found.ingestion.exchange_time
    until_ms = market_ms + read_ms - found.updated_at
    return max(market_ms - found.liquidity.volume_profile.window_sec * 1000, until_ms - WINDOW_MS), until_ms


async def fetch_profile(reader: Reader, symbol: str) -> Profile:
    """Count the newest trades of the last 30 minutes, at most `MAX_TRADES`, a part at a time.

    The node knows the exchange's clock, and since when all trades are known: the report says both.
    """
    plane, keys = reader.plane, reader.keys
    read_ms, [values, report] = await plane.read(
        [("HMGET", keys.info(symbol), *INFO_FIELDS), ("GET", keys.report(symbol))]
    )
    info, window = decode_info(values), _window(report, read_ms)
    if window is None:
        return Profile(symbol, 0, 0, None, [])
    since_ms, now_ms = window
    newest_first: list[TradeEntry] = []
    before, cut = "+", True
    while cut and len(newest_first) < MAX_TRADES:
        _, [entries] = await plane.read([("XREVRANGE", keys.trades(symbol), before, since_ms + 1, "COUNT", _AT_ONCE)])
        newest_first += [decode_trade(*entry) for entry in entries]
        cut = len(entries) == _AT_ONCE
        before = f"({entries[-1][0].decode()}" if entries else "-"
    trades = TradeWindow()
    trades.complete_after_ms = newest_first[-1].time_ms if cut else since_ms
    oldest_first = newest_first[::-1]
    trades.extend(
        [trade.time_ms for trade in oldest_first],
        [trade.price for trade in oldest_first],
        [trade.quantity for trade in oldest_first],
        [trade.is_buy for trade in oldest_first],
    )
    window_ms = covered_ms(trades, now_ms)
    first, last = trades.between(now_ms - window_ms, now_ms)
    window_sec, count = window_ms // 1000, last - first
    if info is None or not info.tick_size:
        return Profile(symbol, window_sec, count, None, [])
    rolling = RollingVolumeProfile(info.tick_size)
    rolling.update(trades, now_ms)
    return Profile(symbol, window_sec, count, rolling.bin_width, rolling.bins())

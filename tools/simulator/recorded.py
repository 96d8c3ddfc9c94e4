"""Replays recorded data as an exchange: every recorded trade and diff with its own ids, at any speed.

The replay starts when a client follows a recorded stream and no subscription was added for a second. It goes by the
exchange's times: what happened a second apart is sent a second apart, divided by `speed`.

A client keeps its book by the documented procedure: diffs first, then a snapshot, then the diffs after it. REST shows
the book as of the last diff sent. One exception lets a client have every recorded diff: after the first diff of a symbol
that a client follows, the replay waits up to five seconds for a request, and answers it with the book before that diff.

Levels that ingest did not know when it was recorded are not there in the replay either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tickfence.streams.codec import DiffEntry, Level, SymbolInfo, Ticker, TradeEntry
from tools.simulator import protocol
from tools.simulator.hub import Hub
from tools.simulator.okx.source import Source
from tools.simulator.recorded_market import Book, Recorded, RecordedMarket
from tools.simulator.symbols import instrument

logger = logging.getLogger(__name__)

SNAPSHOT_WAIT = 5.0
_UNREAD_BYTES = 2**20
_DRAIN_SECONDS = 10.0
_EVENTS_PER_FLUSH = 100
_TRADES_KEPT = 5_000
_NO_SIZE = "0.00000000"

_encode = msgspec.json.Encoder().encode


class _Listed:
    """One symbol: its book, its newest trades and its channels."""

    def __init__(self, symbol: str, book: Book, info: SymbolInfo | None, hub: Hub) -> None:
        self.symbol, self.book, self.info = symbol, book, info
        self.trades: deque[dict[str, Any]] = deque(maxlen=_TRADES_KEPT)
        self.ticker: Ticker | None = None
        self.first: tuple[int, list[Level], list[Level]] | None = None
        self.asked = asyncio.Event()
        name = symbol.lower()
        self.trade_channel = hub.channel(f"{name}@trade")
        self.diff_channels = [hub.channel(f"{name}@depth@100ms"), hub.channel(f"{name}@depth")]
        self.ticker_channel = hub.channel(f"{name}@ticker")

    @property
    def followed(self) -> bool:
        return any(channel.subscribers for channel in self.diff_channels)

    def trade(self, at_ms: int, entry: TradeEntry) -> None:
        price, quantity = _text(entry.price), _text(entry.quantity)
        self.trades.append(protocol.rest_trade(entry.trade_id, price, quantity, at_ms, not entry.is_buy))
        message = {"e": "trade", "E": at_ms, "s": self.symbol, "t": entry.trade_id, "p": price, "q": quantity}
        self.trade_channel.publish(_encode(message | {"T": at_ms, "m": not entry.is_buy, "M": True}))

    def diff(self, at_ms: int, entry: DiffEntry) -> None:
        ids = {"U": entry.first_update_id, "u": entry.last_update_id}
        levels = {"b": _texts(entry.bids), "a": _texts(entry.asks)}
        payload = _encode({"e": "depthUpdate", "E": at_ms, "s": self.symbol, **ids, **levels})
        for channel in self.diff_channels:
            channel.publish(payload)

    def ticker_24hr(self, at_ms: int) -> dict[str, Any] | None:
        found = self.ticker
        if found is None:
            return None
        values = found.last, found.change_pct, found.high, found.low, found.volume
        names = "lastPrice", "priceChangePercent", "highPrice", "lowPrice", "volume"
        texts = {name: _text(value) for name, value in zip(names, values, strict=True) if value is not None}
        return {"symbol": self.symbol, **texts, "closeTime": at_ms} if len(texts) == len(names) else None

    def publish_ticker(self, at_ms: int) -> None:
        if found := self.ticker_24hr(at_ms):
            names = {"c": "lastPrice", "P": "priceChangePercent", "h": "highPrice", "l": "lowPrice", "v": "volume"}
            values = {short: found[name] for short, name in names.items()}
            self.ticker_channel.publish(_encode({"e": "24hrTicker", "E": at_ms, "s": self.symbol, **values}))

    def exchange_info(self) -> dict[str, Any]:
        info = self.info or SymbolInfo(None, None, "trading")
        tick, step = (_NO_SIZE if size is None else _text(size) for size in (info.tick_size, info.step_size))
        return protocol.Encoder(instrument(self.symbol)).exchange_info() | {
            "status": "TRADING" if info.status == "trading" else "BREAK",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": tick},
                {"filterType": "LOT_SIZE", "stepSize": step},
            ],
        }


class RecordedFeed:
    """Replays a market: `speed` 1 is as recorded, `math.inf` as fast as clients read."""

    def __init__(
        self, market: RecordedMarket, speed: float, hub: Hub, *, keep_times: bool = False, exit_at_end: bool = False
    ) -> None:
        """Loads the books at the start.

        Args:
            market: what is replayed.
            speed: a factor.
            hub: where it is sent.
            keep_times: whether events have the recorded times; else the time at which they are sent.
            exit_at_end: whether `run` returns at the end.
        """
        self._market, self._speed, self._hub = market, speed, hub
        self._keep_times, self._exit_at_end = keep_times, exit_at_end
        of_binance = [symbol for symbol in market.symbols if ":" not in symbol]
        if len(of_binance) < len(market.symbols):
            others = sorted(set(market.symbols) - set(of_binance))
            logger.warning("not replayed, because this speaks Binance's protocol only: %s", ", ".join(others))
        self._listed = {symbol: _Listed(symbol, market.book(symbol), market.info(symbol), hub) for symbol in of_binance}
        self.symbols: Collection[str] = self._listed.keys()
        self.okx: Mapping[str, Source] = {}
        self._status = "waiting for subscribers"
        self._sent = 0
        self._at_ms = market.from_ms
        self._newest_ms = 0
        self._resume_at = 0.0
        self._wait_for_snapshots = True

    async def run(self) -> None:
        """Replays once, then returns if `exit_at_end` is set, else idles."""
        streams = [
            f"{symbol.lower()}{suffix}" for symbol in self.symbols for suffix in ("@trade", "@depth@100ms", "@depth")
        ]
        await self._hub.wait_for_subscribers(streams)
        self._status = "running"
        loop = asyncio.get_running_loop()
        self._start = loop.time()
        minutes = self._market.minutes()
        reading: asyncio.Task[list[Recorded]] | None = self._read(next(minutes))
        while reading is not None:
            since = loop.time()
            events = await reading
            self._start += loop.time() - since
            following = next(minutes, None)
            reading = None if following is None else self._read(following)
            await self._play(events)
        self._status = "finished"
        logger.info("replay finished: %d events", self._sent)
        await self._hub.let_clients_read(0, _DRAIN_SECONDS)
        if not self._exit_at_end:
            await asyncio.Event().wait()

    async def depth(self, symbol: str, limit: int) -> bytes:
        """As Feed.depth()."""
        listed = self._listed[symbol]
        last, (bids, asks) = listed.book.last_update_id, listed.book.best(limit)
        if listed.followed and not listed.asked.is_set():
            last, bids, asks = listed.first or (last, bids, asks)
            listed.asked.set()
        return protocol.depth(last, _texts(bids[:limit]), _texts(asks[:limit]))

    def exchange_info(self, symbols: Collection[str]) -> list[dict[str, Any]]:
        """As Feed.exchange_info()."""
        return [self._listed[symbol].exchange_info() for symbol in symbols]

    def trades(self, symbol: str, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """As Feed.trades()."""
        known = list(self._listed[symbol].trades)
        return known[-limit:] if from_id is None else [one for one in known if one["id"] >= from_id][:limit]

    def ticker_24hr(self, symbol: str) -> dict[str, Any] | None:
        """As Feed.ticker_24hr()."""
        return self._listed[symbol].ticker_24hr(self._shown(self._at_ms))

    def pause(self, seconds: float) -> None:
        """As Feed.pause()."""
        self._resume_at = asyncio.get_running_loop().time() + seconds

    def quote(self, symbol: str) -> tuple[int, str, str, str]:
        """As Feed.quote()."""
        book = self._listed[symbol].book
        bids, asks = book.best(1)
        bid, ask = (_text(side[0][0]) if side else "1.00000000" for side in (bids, asks))
        return book.last_update_id + 1, bid, ask, "1.00000000"

    def spend_update_id(self, symbol: str) -> None:
        """Does nothing: recorded ids are fixed, so the next diff does not connect to a malformed one."""

    def market(self, symbol: str) -> None:
        """None: a recorded market takes no orders."""

    def state(self) -> dict[str, Any]:
        """As Feed.state()."""
        return {"source": "recording", "status": self._status, "sent": self._sent, "recordedMs": self._at_ms}

    def _read(self, minute: tuple[int, int]) -> asyncio.Task[list[Recorded]]:
        """Reads a minute's events while those before it are sent."""
        return asyncio.create_task(asyncio.to_thread(self._market.events, *minute))

    async def _play(self, events: list[Recorded]) -> None:
        loop = asyncio.get_running_loop()
        for number, event in enumerate(events):
            while (pause := self._resume_at - loop.time()) > 0:
                await self._flush(pause)
                self._start += pause
            delay = self._start + (event.time_ms - self._market.from_ms) / 1000 / self._speed - loop.time()
            if delay > 0 or number % _EVENTS_PER_FLUSH == 0:
                await self._flush(max(0.0, delay))
            self._at_ms = max(self._at_ms, event.time_ms)
            await self._send(self._listed.get(event.symbol), event)
            self._sent += 1
        await self._flush(0.0)

    async def _send(self, listed: _Listed | None, event: Recorded) -> None:
        at_ms = self._shown(event.time_ms)
        match event.value:
            case _ if listed is None:
                return
            case TradeEntry() as trade:
                listed.trade(at_ms, trade)
            case Ticker() as ticker:
                listed.ticker = ticker
                listed.publish_ticker(at_ms)
            case SymbolInfo() as info:
                listed.info = info
            case DiffEntry() as diff:
                await self._send_diff(listed, diff, at_ms)

    async def _send_diff(self, listed: _Listed, diff: DiffEntry, at_ms: int) -> None:
        book = listed.book
        if book.misses(diff):
            of_then = listed.symbol, diff.time_ms, diff.last_update_id
            book.load(await asyncio.to_thread(self._market.snapshot, *of_then), diff.time_ms)
        expected = self._wait_for_snapshots and listed.followed and not listed.asked.is_set()
        if expected:
            listed.first = book.last_update_id, *book.best(protocol.MAX_DEPTH)
        book.apply(diff)
        listed.diff(at_ms, diff)
        if expected:
            await self._flush(0.0)
            await self._snapshot_taken(listed)

    async def _snapshot_taken(self, listed: _Listed) -> None:
        """Waits for a request for the symbol's book."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        self._status = f"waiting for a request for the book of {listed.symbol}"
        try:
            await asyncio.wait_for(listed.asked.wait(), SNAPSHOT_WAIT)
        except TimeoutError:
            self._wait_for_snapshots = False
            listed.asked.set()
            logger.info("no client requested the book of %s within %g s", listed.symbol, SNAPSHOT_WAIT)
        self._status = "running"
        self._start += loop.time() - since

    async def _flush(self, pause_s: float) -> None:
        """Sends what is queued, and goes on when the pause is over and clients have read most of it."""
        self._hub.flush()
        await asyncio.sleep(pause_s)
        await self._hub.let_clients_read(_UNREAD_BYTES, _DRAIN_SECONDS)

    def _shown(self, recorded_ms: int) -> int:
        if not self._keep_times:
            self._newest_ms = max(self._newest_ms, time.time_ns() // 1_000_000)  # the clock may be set back
            return self._newest_ms
        return recorded_ms


def _text(value: float) -> str:
    """Decimal text without an exponent that gives the same float."""
    text = repr(value)
    return f"{Decimal(text):f}" if "e" in text else text


def _texts(levels: list[Level]) -> list[tuple[str, str]]:
    return [(_text(price), _text(quantity)) for price, quantity in levels]

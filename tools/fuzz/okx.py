"""The exchange with OKX's dialect: books by stream with sequence ids and checksums, trades that stand for several."""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, zip_longest
from random import Random
from typing import Any
from zlib import crc32

from tools.fuzz.venue import BAD_LEVELS, DEPTH, TICKER, TRADE, Answer, Socket, Venue
from tools.fuzz.virtual_time import VirtualTime
from tools.fuzz.world import Market, Trade

BOOK_LEVELS, CHECKED_LEVELS = 400, 25
_CHANNELS = {DEPTH: "books", TRADE: "trades", TICKER: "tickers"}
_TRADES_KEPT = 5_000

Side = dict[int, int]
"""Ticks to lots, best first."""


class OkxVenue(Venue):
    """As `Venue`, with this dialect.

    An update tells how the best 400 levels have changed since the last one, those that left them or came in included. So
    what subscribers know is always the state at the last update, and a new subscription begins with that.
    """

    name = "okx"
    urls: Mapping[str, str] = {"NT_VENUE_URLS": "okx.ws=ws://fuzz,okx.rest=http://fuzz"}
    rubbish = (
        "not json",
        "{}",
        '{"arg":{"channel":"books","instId":"NO-SUCH"},"action":"update","data":[{}]}',
        '{"event":"surprise","code":"1"}',
        '{"event":"notice","code":"64000","msg":"be prepared"}',
        '{"event":"error","id":"u7","code":"60012","msg":"no such subscription"}',
        '{"arg":null,"data":null}',
        "[]",
    )
    shutdown = '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade."}'
    report_within_s = 2.0
    books_by_rest = False

    def __init__(self, clock: VirtualTime, markets: Mapping[str, Market], random: Random, **way: Any) -> None:
        super().__init__(clock, markets, random, **way)
        self.matches = random.choice((1, 1, 3))
        self._checksums = random.random() < 0.7
        self._wrong_checksums: set[str] = set()
        self._refused_until_s: dict[str, float] = {}
        self._busy = 0
        self._books = {symbol: _best(market) for symbol, market in markets.items()}
        self._seq_ids = {symbol: market.update_id for symbol, market in markets.items()}
        self._trade_ids = dict.fromkeys(markets, (0, 0))  # the world's newest, and what it is here
        self._singles: dict[str, deque[dict[str, Any]]] = defaultdict(lambda: deque(maxlen=_TRADES_KEPT))

    @staticmethod
    def symbol(name: str) -> str:
        """As `Venue.symbol`."""
        return f"okx:{name}-USDT"

    @staticmethod
    def stream(symbol: str, stream: str) -> str:
        """As `Venue.stream`."""
        return f"{_CHANNELS[stream]}:{_name(symbol)}"

    def own_faults(self) -> Mapping[str, Callable[[str], float]]:
        """As `Venue.own_faults`."""
        faults = {
            "nothing changed": self._heartbeat,
            "subscription refused": self._refuse,
            "request refused": self._refuse_request,
            "too many connections": self._end_books,
        }
        if self._checksums:
            faults |= {"wrong checksum": self._spoil, "change not told": self._change_untold}
        return faults

    # What is told.

    def tell_trades(self, symbol: str, trades: list[Trade]) -> None:
        """Tell trades, in their order or shuffled. Each may stand for several of the same price."""
        messages = [self._trade(symbol, trade) for trade in trades]
        if self.shuffle:
            self.random.shuffle(messages)
        for message in messages:
            self.tell(symbol, TRADE, message)

    def tell_diff(self, symbol: str) -> None:
        """Tell how the best levels have changed."""
        market, before = self.markets[symbol], self._books[symbol]
        if market.take_diff() is None:
            return
        now = _best(market)
        bids, asks = (_changes(*sides) for sides in zip(before, now, strict=True))
        if bids or asks:
            previous, self._seq_ids[symbol] = self._seq_ids[symbol], market.update_id
            self._books[symbol] = now
            self.tell(symbol, DEPTH, self._book(symbol, "update", bids, asks, previous))

    def tell_ticker(self, symbol: str) -> None:
        """Tell the statistics of 24 hours, which a market without trades does not have."""
        market, random = self.markets[symbol], self.random
        last, first, high, low = (market.price_text(random.randint(1, 10**6)) for _ in range(4))
        values = {"last": last, "open24h": first, "high24h": high, "low24h": low}
        values["vol24h"] = market.lots_text(random.randint(0, 10**9))
        if random.random() < 0.1:
            values = dict.fromkeys(values, "")
        else:
            change = round((float(last) / float(first) - 1) * 100, 3)
            self.keep_ticker(symbol, {"h": high, "l": low, "v": values["vol24h"], "P": f"{change:.3f}"})
        self.tell(symbol, TICKER, self._message(symbol, TICKER, values | {"ts": str(self.ms)}))

    def bad_diff(self, symbol: str) -> str:
        """As `Venue.bad_diff`."""
        level, seq_id = self.random.choice(BAD_LEVELS), self._seq_ids[symbol]
        return _book(symbol, "update", level, "", ms=self.ms, checksum=0, previous=seq_id, seq_id=seq_id + 1)

    # What is asked for.

    def heard(self, socket: Socket, text: str) -> None:
        """As `Venue.heard`: each stream of a message has its own answer."""
        if text == "ping":
            self.send(socket, b"pong")
            return
        request = json.loads(text)
        if self._busy:
            self._busy -= 1
            error = {"id": request["id"], "event": "error", "code": "60014", "msg": "Requests too frequent"}
            self.send(socket, json.dumps(error).encode())
            return
        for asked in request["args"]:
            name = f"{asked['channel']}:{asked['instId']}"
            symbol = f"okx:{asked['instId']}"
            answer = {"id": request["id"], "event": request["op"], "arg": asked}
            if request["op"] == "unsubscribe":
                socket.streams.discard(name)
            elif self._clock.now_s < self._refused_until_s.get(symbol, 0.0):
                text = f"Wrong URL or channel:{asked['channel']},instId:{asked['instId']} doesn't exist."
                answer = {"id": request["id"], "event": "error", "code": "60018", "msg": text}
            else:
                socket.streams.add(name)
            self.send(socket, json.dumps(answer).encode())
            if answer["event"] == "subscribe" and asked["channel"] == "books":
                self.send(socket, self._book(symbol, "snapshot", *self._books[symbol], -1).encode())

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        """As `Venue.answer`."""
        symbol = f"okx:{query['instId']}"
        if symbol not in self.markets:
            return 200, {}, b'{"code":"51001","msg":"no such instrument","data":[]}'
        market, data = self.markets[symbol], []
        if path.endswith("/instruments"):
            sizes = {"tickSz": market.price_text(1), "lotSz": market.lots_text(1)}
            data = [{"instId": _name(symbol), "state": "live", "baseCcy": "F", "quoteCcy": "USDT", **sizes}]
        elif path.endswith("/history-trades"):
            data = self._history(symbol, int(query["after"]), int(query["limit"]))
        return 200, {}, json.dumps({"code": "0", "msg": "", "data": data}).encode()

    def _history(self, symbol: str, before_id: int, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for one in reversed(self._singles[symbol]):
            if len(found) == limit or (found and int(one["tradeId"]) >= int(found[-1]["tradeId"])):
                break
            if int(one["tradeId"]) < before_id:
                found.append(one)
        return found

    # How it is told.

    def _trade(self, symbol: str, trade: Trade) -> str:
        market, (world_id, trade_id) = self.markets[symbol], self._trade_ids[symbol]
        if trade.trade_id < world_id:
            trade_id = trade.trade_id  # numbered from the start again
        trade_id = trade_id or trade.trade_id
        count = min(self.matches, trade.lots)
        each, rest = divmod(trade.lots, count)
        shown = {"instId": _name(symbol), "px": market.price_text(trade.ticks), "ts": str(trade.ms)}
        shown["side"] = "buy" if trade.is_buy else "sell"
        for number in range(count):
            trade_id += 1
            size = market.lots_text(each + (rest if not number else 0))
            self._singles[symbol].append(shown | {"tradeId": str(trade_id), "sz": size})
        self._trade_ids[symbol] = trade.trade_id, trade_id
        whole = {"tradeId": str(trade_id), "sz": market.lots_text(trade.lots), "count": str(count)}
        return self._message(symbol, TRADE, shown | whole)

    def _book(self, symbol: str, action: str, bids: Side, asks: Side, previous: int) -> str:
        checksum = self._checksum(symbol) if self._checksums else 0
        if symbol in self._wrong_checksums and action == "update":
            self._wrong_checksums.discard(symbol)
            checksum ^= 0x55
        texts = [",".join(self._levels(symbol, side.items())) for side in (bids, asks)]
        seq_id = self._seq_ids[symbol]
        return _book(symbol, action, *texts, ms=self.ms, checksum=checksum, previous=previous, seq_id=seq_id)

    def _levels(self, symbol: str, levels: Iterable[tuple[int, int]]) -> list[str]:
        price, lots = self.markets[symbol].price_text, self.markets[symbol].lots_text
        return [f'["{price(ticks)}","{lots(count)}","0","1"]' for ticks, count in levels]

    def _checksum(self, symbol: str) -> int:
        market = self.markets[symbol]
        sides = [
            [
                f"{market.price_text(ticks)}:{market.lots_text(lots)}"
                for ticks, lots in list(side.items())[:CHECKED_LEVELS]
            ]
            for side in self._books[symbol]
        ]
        unsigned = crc32(":".join(filter(None, chain.from_iterable(zip_longest(*sides)))).encode())
        return unsigned - 2**32 if unsigned >= 2**31 else unsigned

    @staticmethod
    def _message(symbol: str, stream: str, data: dict[str, str]) -> str:
        arg = {"channel": _CHANNELS[stream], "instId": _name(symbol)}
        return json.dumps({"arg": arg, "data": [data]}, separators=(",", ":"))

    # What goes wrong.

    def _heartbeat(self, symbol: str) -> float:
        self.tell(symbol, DEPTH, self._book(symbol, "update", {}, {}, self._seq_ids[symbol]))
        return -math.inf

    def _refuse(self, symbol: str) -> float:
        self._refused_until_s[symbol] = self._clock.now_s + self.random.choice((1.0, 20.0, 100.0))
        self.lose[symbol, DEPTH] = 1  # so that it is subscribed to again
        return 0.0

    def _refuse_request(self, symbol: str) -> float:
        self._busy = 1
        self.lose[symbol, DEPTH] = 1
        return 0.0

    def _end_books(self, symbol: str) -> float:
        for socket in self.sockets:
            if self.stream(symbol, DEPTH) in socket.streams:
                socket.streams = {name for name in socket.streams if not name.startswith("books:")}
                self.send(socket, b'{"event":"channel-conn-count-error","channel":"books","connCount":"30"}')
        return 0.0

    def _spoil(self, symbol: str) -> float:
        self._wrong_checksums.add(symbol)
        return 0.0

    def _change_untold(self, symbol: str) -> float:
        """Change a level and tell it in no update. The next checksum of these levels shows it, so nothing is excused."""
        self.tell_diff(symbol)
        market = self.markets[symbol]
        market.change_untold()
        market.untold.clear()
        self._books[symbol] = _best(market)
        return 0.0


def _name(symbol: str) -> str:
    return symbol.removeprefix("okx:")


def _best(market: Market) -> tuple[Side, Side]:
    return dict(market.bids.top(BOOK_LEVELS)), dict(market.asks.top(BOOK_LEVELS))


def _changes(before: Side, now: Side) -> Side:
    changed = {ticks: lots for ticks, lots in now.items() if before.get(ticks) != lots}
    return changed | dict.fromkeys(before.keys() - now.keys(), 0)


def _book(symbol: str, action: str, bids: str, asks: str, *, ms: int, checksum: int, previous: int, seq_id: int) -> str:
    return (
        f'{{"arg":{{"channel":"books","instId":"{_name(symbol)}"}},"action":"{action}","data":[{{"asks":[{asks}],'
        f'"bids":[{bids}],"ts":"{ms}","checksum":{checksum},"prevSeqId":{previous},"seqId":{seq_id}}}]}}'
    )

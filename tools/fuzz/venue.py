"""The exchange as ingest sees it: what `ingest` asks of an aiohttp session, answered from the `world`.

It tells what happens over any number of connections, and answers REST requests after a while. Its faults are attributes
that `faults` sets: they take effect on what is told or asked from then on. `Venue` is an exchange with Binance's dialect; one
with another dialect is made from it, as `okx` is.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import WSMessage, WSMsgType

from tools.fuzz.virtual_time import VirtualTime
from tools.fuzz.world import Market, Trade, decimal_text

DEPTH, TRADE, TICKER = "@depth@100ms", "@trade", "@ticker"
"""The streams of a symbol; each dialect has its own names for them."""
DEPTH_LIMIT, TRADES_LIMIT = 5000, 1000
KEPT_TICKERS_MS = 62_000
MISSING_KNOWN_S = 0.5
BAD_LEVELS = ('["0.00000000","1.00000000"]', '["-1.0","1.0"]', '["1e5","x"]', '["nan","1.0"]', '["1.0"]', "7")

Answer = tuple[int, Mapping[str, str], bytes]


class Socket:
    """One WebSocket connection, from the client's side."""

    def __init__(
        self, streams: Collection[str], heard: Callable[[Socket, str], None], closed: Callable[[Socket], None]
    ) -> None:
        self.streams = set(streams)
        self.close_code: int | None = None
        self._heard, self._closed = heard, closed
        self._on_the_way: deque[bytes] = deque()
        self._received: deque[WSMessage] = deque()
        self._arrived = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.close_code is not None

    def push(self, message: bytes) -> None:
        """Let the client receive a message."""
        self._received.append(WSMessage(WSMsgType.TEXT, message, None))
        self._arrived.set()

    def push_later(self, message: bytes, delay_s: float) -> None:
        """Let the client receive a message after a while, in the order in which they were sent."""
        self._on_the_way.append(message)
        asyncio.get_running_loop().call_later(delay_s, lambda: self.push(self._on_the_way.popleft()))

    def end(self, code: int) -> None:
        """End the connection from the exchange's side."""
        if not self.closed:
            self.close_code = code
            self._closed(self)
            self._received.append(WSMessage(WSMsgType.CLOSED, None, None))
            self._arrived.set()

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ARG002, ASYNC109 - as aiohttp's
        """As aiohttp's."""
        while not self._received:
            self._arrived.clear()
            await self._arrived.wait()
        return self._received.popleft()

    async def send_str(self, text: str) -> None:
        """As aiohttp's."""
        self._heard(self, text)

    async def pong(self, payload: bytes = b"") -> None:
        """Nothing here sends pings."""

    async def close(self, **_: Any) -> bool:
        """As aiohttp's."""
        self.end(1000)
        return True

    def exception(self) -> BaseException | None:
        """As aiohttp's."""
        return None


class Response:
    """The answer to a GET request, as far as ingest reads it."""

    def __init__(self, url: str, answer: Answer) -> None:
        self.url = url
        self.status, self.headers, self._body = answer
        self.content = self
        self.reason = ""

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        """The body."""
        yield self._body

    async def read(self) -> bytes:
        """The body."""
        return self._body


class _Call:
    """What aiohttp's calls return: to be awaited, or entered."""

    def __init__(self, call: Awaitable[Any]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        return self._call.__await__()

    async def __aenter__(self) -> Any:
        return await self._call

    async def __aexit__(self, *_: object) -> None:
        pass


class Venue:
    """All markets, and everybody who is connected.

    Attributes:
        name: of the exchange.
        urls: settings that lead ingest here.
        rubbish: messages that no exchange sends.
        shutdown: the message that announces the end of a connection.
        report_within_s: a book that was lost must be back by then.
        books_by_rest: whether books are asked for, and may be compared, by REST.
        matches: how many of the exchange's trades one of the world's may be.
        markets: by symbol.
        sockets: the open connections.
        messages: how many messages were given to a connection.
        lose: (symbol, stream) -> how many of the next messages get lost.
        dark_until_s: until then nothing that is told arrives.
        cut_until_s: symbol -> until then nothing that is told of it arrives.
        trades_unsure_until_s: symbol -> until then nobody can know that a single trade is missing: its id shows only in
            the next trade, and the next diff tells that this one waits.
        twice: how many of the next messages arrive twice.
        shuffle: whether the trades of a step are told out of order.
        refusals: statuses of the next REST answers; 0 stands for none at all.
        stale: symbol -> an older answer for depth, while REST lags behind.
        closed_at_s: when a connection ended last.
        least_gap_s: how long it takes at least until there is another one.
        latency_s: how long a REST answer takes.
        tickers: what was told last of each symbol's 24 hours: time (ms), fields.
        skew_ms: how far the exchange's clock is behind.
        delay_s: how long a message is on its way.
    """

    name = "binance"
    urls: Mapping[str, str] = {"NT_EXCHANGE_WS_URL": "ws://fuzz", "NT_EXCHANGE_REST_URL": "http://fuzz"}
    rubbish: Sequence[str] = (
        "not json",
        "{}",
        '{"stream":"nosuch@trade","data":{"e":"trade"}}',
        '{"e":"serverWhatever","E":1}',
        '{"stream":"","data":null}',
        "[]",
    )
    shutdown = '{"e":"serverShutdown","E":1}'
    report_within_s = 2.0
    books_by_rest = True
    matches = 1

    def __init__(
        self, clock: VirtualTime, markets: Mapping[str, Market], random: Random, *, skew_ms: int, delay_s: float
    ) -> None:
        self.markets, self.random, self.skew_ms, self.delay_s = markets, random, skew_ms, delay_s
        self.sockets: list[Socket] = []
        self.messages = 0
        self.lose: Counter[tuple[str, str]] = Counter()
        self.dark_until_s = 0.0
        self.cut_until_s = dict.fromkeys(markets, 0.0)
        self.trades_unsure_until_s = dict.fromkeys(markets, 0.0)
        self.twice = 0
        self.shuffle = False
        self.refusals: deque[int] = deque()
        self.stale: dict[str, Answer] = {}
        self.latency_s = (0.02, 0.2)
        self.closed_at_s, self.least_gap_s = -math.inf, 0.0
        self.tickers: dict[str, deque[tuple[int, dict[str, str]]]] = {symbol: deque() for symbol in markets}
        self._clock = clock

    @staticmethod
    def symbol(name: str) -> str:
        """The symbol of a market with this name."""
        return name

    @staticmethod
    def stream(symbol: str, stream: str) -> str:
        """The name of one of a symbol's streams."""
        return symbol.lower() + stream

    def own_faults(self) -> Mapping[str, Callable[[str], float]]:
        """Faults of this dialect alone. Each is given a symbol, and returns how long it disturbs it, s."""
        return {}

    @property
    def ms(self) -> int:
        """The exchange's time."""
        return self._clock.now_ms() - self.skew_ms

    # What aiohttp's session offers.

    async def __aenter__(self) -> Venue:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def ws_connect(self, url: str, **_: Any) -> _Call:
        """Open a connection."""
        return _Call(self._connect(url))

    def get(self, url: str, *, params: Mapping[str, str] | None = None, **_: Any) -> _Call:
        """Answer a request."""
        return _Call(self._respond(url, dict(params or {})))

    # What is told.

    def tell_trades(self, symbol: str, trades: list[Trade]) -> None:
        """Tell trades, in their order or shuffled."""
        market, name = self.markets[symbol], symbol.lower()
        if self.shuffle:
            self.random.shuffle(trades)
        for ms, trade_id, ticks, lots, is_buy in trades:
            price, quantity, maker = market.price_text(ticks), market.lots_text(lots), "false" if is_buy else "true"
            self.tell(
                symbol,
                TRADE,
                f'{{"stream":"{name}@trade","data":{{"e":"trade","E":{ms},"s":"{symbol}","t":{trade_id},"p":"{price}"'
                f',"q":"{quantity}","T":{ms},"m":{maker},"M":true}}}}',
            )

    def tell_diff(self, symbol: str) -> None:
        """Tell what has changed in a book."""
        market, name = self.markets[symbol], symbol.lower()
        diff = market.take_diff()
        if diff is not None:
            self.tell(
                symbol,
                DEPTH,
                f'{{"stream":"{name}{DEPTH}","data":{{"e":"depthUpdate","E":{self.ms},"s":"{symbol}","U":{diff.first},'
                f'"u":{diff.last},"b":[{market.levels_text(diff.bids)}],"a":[{market.levels_text(diff.asks)}]}}}}',
            )

    def tell_ticker(self, symbol: str) -> None:
        """Tell the statistics of 24 hours; a quiet market's are zeros, all or some of them."""
        market, random = self.markets[symbol], self.random
        values = {name: decimal_text(market.price_units(random.randint(1, 10**6))) for name in "chl"}
        values |= {"v": decimal_text(random.randint(0, 10**14)), "P": f"{random.uniform(-9, 9):.3f}"}
        zeros = random.choice(((), (), (), "c", "hl", "vP", "chlvP"))
        values |= dict.fromkeys(zeros, "0.00000000")
        ms = self.keep_ticker(symbol, values)
        fields = ",".join(f'"{name}":"{value}"' for name, value in values.items())
        self.tell(
            symbol,
            TICKER,
            f'{{"stream":"{symbol.lower()}{TICKER}","data":{{"e":"24hrTicker","E":{ms},"s":"{symbol}",{fields}}}}}',
        )

    def keep_ticker(self, symbol: str, values: dict[str, str]) -> int:
        """Make a symbol's 24-hour statistics the current ones; return the exchange's time."""
        kept, ms = self.tickers[symbol], self.ms
        kept.append((ms, values))
        while kept[0][0] < ms - KEPT_TICKERS_MS:
            kept.popleft()
        return ms

    def bad_diff(self, symbol: str) -> str:
        """A diff that cannot be read."""
        last, level = self.markets[symbol].update_id + 1, self.random.choice(BAD_LEVELS)
        return (
            f'{{"stream":"{symbol.lower()}{DEPTH}","data":{{"e":"depthUpdate","E":{self.ms},"s":"{symbol}",'
            f'"U":{last},"u":{last},"b":[{level}],"a":[]}}}}'
        )

    def tell(self, symbol: str, stream: str, text: str) -> None:
        """Send a message to everybody who wants it, unless a fault keeps it back."""
        now = self._clock.now_s
        if self.lose[symbol, stream] > 0:
            self.lose[symbol, stream] -= 1
            if stream is TRADE:
                self.trades_unsure_until_s[symbol] = math.inf
            return
        if now < max(self.dark_until_s, self.cut_until_s[symbol]):
            return
        name, message = self.stream(symbol, stream), text.encode()
        for socket in self.sockets:
            if name in socket.streams:
                self.send(socket, message)
                if stream is TRADE and self.trades_unsure_until_s[symbol] == math.inf:
                    asyncio.get_running_loop().call_later(self.delay_s, self._on_next_trade, symbol, socket)
                if self.twice > 0:
                    self.twice -= 1
                    self.send(socket, message)

    def shout(self, text: str) -> None:
        """Send a message to every connection."""
        for socket in self.sockets:
            self.send(socket, text.encode())

    def heard(self, socket: Socket, text: str) -> None:
        """Take a control message."""
        request = json.loads(text)
        socket.streams |= set(request["params"])
        socket.push(json.dumps({"result": None, "id": request["id"]}).encode())

    def send(self, socket: Socket, message: bytes) -> None:
        """Send one message over one connection."""
        self.messages += 1
        if self.delay_s:
            socket.push_later(message, self.delay_s)
        else:
            socket.push(message)

    def _on_next_trade(self, symbol: str, socket: Socket) -> None:
        """A trade has arrived, unless its connection ended before: it shows that the one before was lost."""
        if not socket.closed:
            self.trades_unsure_until_s[symbol] = self._clock.now_s + MISSING_KNOWN_S

    def hears(self, symbol: str) -> bool:
        """Whether somebody is connected who follows the symbol's book."""
        name = self.stream(symbol, DEPTH)
        return any(name in socket.streams for socket in self.sockets)

    # How REST answers.

    def depth(self, symbol: str, limit: int = DEPTH_LIMIT) -> Answer:
        """The book as it is now."""
        market = self.markets[symbol]
        market.note()
        sides = [market.levels_text(side.top(min(limit, DEPTH_LIMIT))) for side in (market.bids, market.asks)]
        return 200, {}, f'{{"lastUpdateId":{market.update_id},"bids":[{sides[0]}],"asks":[{sides[1]}]}}'.encode()

    async def _connect(self, url: str) -> Socket:
        missed_s = self.closed_at_s + self.least_gap_s - self._clock.now_s
        await asyncio.sleep(max(missed_s, 0.0) + self.random.uniform(0.01, 0.1))
        streams = parse_qs(urlsplit(url).query).get("streams", [""])[0].split("/")
        socket = Socket(streams, self.heard, self._closed)
        self.sockets.append(socket)
        return socket

    def _closed(self, socket: Socket) -> None:
        self.sockets.remove(socket)
        self.closed_at_s = self._clock.now_s

    async def _respond(self, url: str, query: dict[str, str]) -> Response:
        await asyncio.sleep(self.random.uniform(*self.latency_s) / 2)
        answer = self._refusal() or self.answer(urlsplit(url).path, query)
        await asyncio.sleep(self.random.uniform(*self.latency_s) / 2)
        if not answer[0]:
            raise aiohttp.ServerDisconnectedError
        return Response(url, answer)

    def _refusal(self) -> Answer | None:
        if not self.refusals:
            return None
        status = self.refusals.popleft()
        if status == 200:
            return 200, {}, b'{"lastUpdateId":'
        return status, {"Retry-After": "1"} if status in (418, 429) else {}, b'{"code":-1000,"msg":"refused"}'

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        """Answer a request."""
        if path.endswith("/exchangeInfo"):
            return self._info(query)
        symbol = query["symbol"]
        if symbol not in self.markets:
            return 400, {}, b'{"code":-1121,"msg":"Invalid symbol."}'
        if path.endswith("/depth"):
            return self.stale.get(symbol) or self.depth(symbol, int(query.get("limit", 100)))
        if path.endswith("/historicalTrades"):
            return self._trades(self.markets[symbol], int(query["fromId"]), int(query.get("limit", 500)))
        return 404, {}, b"{}"

    def _trades(self, market: Market, from_id: int, limit: int) -> Answer:
        found = []
        for ms, trade_id, ticks, lots, is_buy in reversed(market.trades):
            if trade_id < from_id:
                break
            one = {"id": trade_id, "price": market.price_text(ticks), "qty": market.lots_text(lots), "time": ms}
            found.append(one | {"isBuyerMaker": not is_buy, "isBestMatch": True})
        return 200, {}, json.dumps(found[::-1][: min(limit, TRADES_LIMIT)]).encode()

    def _info(self, query: dict[str, str]) -> Answer:
        asked = [query["symbol"]] if "symbol" in query else json.loads(query.get("symbols", "null")) or self.markets
        if not set(asked) <= self.markets.keys():
            return 400, {}, b'{"code":-1121,"msg":"Invalid symbol."}'
        listed = []
        for symbol in asked:
            market = self.markets[symbol]
            price = {"filterType": "PRICE_FILTER", "tickSize": market.price_text(1)}
            lot = {"filterType": "LOT_SIZE", "stepSize": market.lots_text(1)}
            listed.append({"symbol": symbol, "status": "TRADING", "filters": [price, lot]})
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
        return 200, {}, json.dumps({"rateLimits": [limit], "symbols": listed}).encode()

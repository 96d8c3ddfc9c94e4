"""A local exchange that speaks Binance spot's public protocol, and OKX's: WebSocket streams and REST on one port.

    python -m tools.simulator --port 9443 --symbols BTCUSDT,ETHUSDT --seed 1
    python -m tools.simulator --symbols 1000                      # 1,000 symbols: six known names, the rest made up
    python -m tools.simulator --symbols BTCUSDT,okx:BTC-USDT      # the second one is OKX's (okx/__init__.py)
    python -m tools.simulator --replay captures/monday --speed max

The market is random and plausible, from a seed (market.py), or a recorded one (replay.py).
Streams: `<symbol>@depth@100ms`, `@depth`, `@trade`, `@aggTrade`, `@ticker`, `@bookTicker`, combined (`/stream`) or raw
(`/ws`), with SUBSCRIBE and the other control messages. REST: `/api/v3/ping`, `time`, `exchangeInfo`, `depth`,
`trades`, `historicalTrades`, `ticker/24hr`. Tests request faults at `/simulator/faults` (faults.py), and walls, vacuums, spoofers, icebergs and crashes
at `/simulator/plants` (plant_commands.py).

Where Binance's documentation is not specific, the simulator does this:

- It answers a refused control message with `{"error": {"code", "msg"}, "id"}`, as the exchange does (the documentation
  shows only the inner object).
- It sends `serverShutdown` without a wrapper on combined connections too, because the event has no stream.
- It closes a connection with code 1008 when the connection breaks a limit (1,024 streams, 5 messages per second,
  unanswered pings).
- Diffs tell nothing of levels beyond the best 1,000 of a side (`--told-levels`), as users report of the exchange. REST
  shows them.
- It accepts every well-formed stream name; the stream of a symbol that is not listed stays silent.

From the rest of the repository it imports only the pattern of a symbol's name: an independent implementation finds
errors that a shared one would hide.
"""

"""A local exchange that speaks Binance spot's public protocol: WebSocket streams and REST on one port.

    python -m tools.simulator --port 9443 --symbols BTCUSDT,ETHUSDT --seed 1
    python -m tools.simulator --symbols 1000                      # so many made-up names after the six best known
    python -m tools.simulator --replay captures/monday --speed max

Its market is random, plausible and seeded (:mod:`tools.simulator.market`), or a recorded one (:mod:`tools.simulator.replay`).
Streams: `<symbol>@depth@100ms`, `@depth`, `@trade`, `@aggTrade`, `@ticker`, `@bookTicker`, combined (`/stream`) or raw
(`/ws`), with SUBSCRIBE and the other control messages. REST: `/api/v3/ping`, `time`, `exchangeInfo`, `depth`,
`ticker/24hr`. Tests ask for faults at `/simulator/faults` (:mod:`tools.simulator.faults`), and for walls, vacuums, spoofers,
icebergs and crashes at `/simulator/plants` (:mod:`tools.simulator.plant_commands`).

Where Binance's documentation leaves something open, this is what the simulator does:

- a control message that is refused is answered with `{"error": {"code", "msg"}, "id"}`, as the exchange does (its
  documentation shows the inner object alone);
- `serverShutdown` has no stream, so it comes without the wrapper on combined connections too;
- breaking a connection's limits (1,024 streams, 5 messages a second, unanswered pings) closes it with code 1008;
- a stream name is accepted if it is well formed, and stays silent if its symbol is not listed.

It imports nothing from the rest of this repository: an implementation of its own finds what a shared one would hide.
"""

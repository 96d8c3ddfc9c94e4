"""The simulator's second dialect: OKX's public protocol, version 5, on the same port.

WebSocket `/ws/v5/public` with the channels `books` (400 levels, sequence ids, checksum), `trades` (aggregated) and
`tickers`; REST `/api/v5/public/instruments`, `/api/v5/market/history-trades` and `/api/v5/public/time`.

Source: https://www.okx.com/docs-v5/en/. Where the documentation is not specific, the simulator does this:

- It sends the checksums that OKX sent until June 2026. `--no-checksums` sends 0 for each, as OKX does since.
- Each argument of a subscription has its own answer. A refused one names the channel and instrument in its text.
- The 481st control message of an hour is refused with error 60014, the fourth connection of a second with HTTP 429.
- A fill of the random market is one to three matches at its price, so `count` is not always 1.
- `channel-conn-count-error` ends all subscriptions of the connection to that channel.
"""

VENUE = "okx"
PREFIX = "okx:"
"""Begins the simulator's own name of an instrument, as `--symbols` and the faults have it."""

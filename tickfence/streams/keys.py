"""Keys without a namespace. Use :class:`tickfence.keys.Keys`; this goes away."""

from tickfence.keys import Keys

_KEYS = Keys()
trades_key, book_key, snapshot_key, ticker_key, info_key = (
    _KEYS.trades,
    _KEYS.book,
    _KEYS.snapshot,
    _KEYS.ticker,
    _KEYS.info,
)

"""Names of the market-data keys.

The braces are a Redis Cluster hash tag: all keys of one symbol share a slot, so one command
may read several of them and a script may touch them together.
https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
"""

from __future__ import annotations


def trades_key(symbol: str) -> str:
    """Stream, one entry a trade."""
    return f"md:{{{symbol}}}:trades"


def book_key(symbol: str) -> str:
    """Stream, one entry an order-book diff."""
    return f"md:{{{symbol}}}:book"


def snapshot_key(symbol: str) -> str:
    """String, the full order book at a known update id."""
    return f"md:{{{symbol}}}:snapshot"


def ticker_key(symbol: str) -> str:
    """Hash, statistics of the last 24 hours."""
    return f"md:{{{symbol}}}:ticker"


def info_key(symbol: str) -> str:
    """Hash, the exchange's rules for the symbol: tick size, step size, status."""
    return f"md:{{{symbol}}}:info"

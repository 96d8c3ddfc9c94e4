"""State that a new owner of a symbol cannot read from the streams, as bytes that the old owner stored.

The streams contain the book, the trades and the newest diffs. The last 10,000 level quantities and the level changes of
30 s reach further back than the stream of diffs. Without them P10 and P95, and so walls and vacuums, would jump with
each change of owner. So does the time since which the diffs connect: without it nothing proves that a quiet symbol had no
trade.
"""

import msgspec
import numpy as np
from msgspec import Struct

from tickfence.analytics.level_changes import AFTER, BEFORE, KEY, TIME
from tickfence.analytics.market import CHANGES_MS
from tickfence.analytics.symbol_state import SymbolState
from tickfence.instrument import Instrument

VERSION = 2


class Head(Struct, frozen=True, array_like=True):
    """How the carry of every version begins."""

    version: int
    symbol: Instrument


class Carry(Head, frozen=True, array_like=True):
    """The carried state: the book diffs have connected from `connected_ms` to `observed_update_id`.

    Arrays are little-endian float64, oldest first. Of `small` changes only time and key are carried.
    """

    observed_update_id: int
    connected_ms: int
    changes_from_update_id: int
    changes_complete_after_ms: int
    quantities: bytes
    changes: bytes
    small: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode_head = msgspec.msgpack.Decoder(Head).decode
_decode = msgspec.msgpack.Decoder(Carry).decode


def dump(state: SymbolState, now_ms: int) -> bytes:
    """The state to carry over: 80 kB at most, and the changes of 30 s.

    It contains all diffs up to `observed_update_id`, so a new owner needs the diffs after it. Of small changes, which
    neither reach half of P95 nor are at a traded price, spoofing needs the number only.
    """
    state.fold()
    changes = state.changes.columns
    small = changes[TIME : KEY + 1, :0]
    p95 = state.quantities.percentile(95)
    if p95 is not None:
        market_ms = state.market_ms(now_ms)
        first, last = state.trades.between(market_ms - CHANGES_MS, market_ms)
        large = np.maximum(changes[BEFORE], changes[AFTER]) >= p95 / 2
        # np.isin is several times faster with few values to search for.
        prices = np.unique(state.trades.prices(first, last))
        traded = np.isin(np.abs(changes[KEY]), prices)
        whole = large | traded
        changes, small = changes.compress(whole, axis=1), changes[TIME : KEY + 1].compress(~whole, axis=1)
    arrays = state.quantities.oldest_first(), changes.T, small
    quantities, logged, counted = (part.astype("<f8", copy=False).tobytes() for part in arrays)
    log = state.changes
    since = state.trades.coverage.connected_ms, log.from_update_id, log.complete_after_ms
    return _encode(Carry(VERSION, state.symbol, state.observed_update_id, *since, quantities, logged, counted))


def restore(state: SymbolState, data: bytes) -> None:
    """Puts carried state into a new SymbolState, before its first load_snapshot().

    Raises:
        ValueError: the data is not a carry of this symbol and version, or the state is already in use. The state is
            unchanged.
    """
    if state.book.last_update_id or len(state.quantities):
        raise ValueError(f"the state of {state.symbol} is already in use: a carry is for a new state")
    try:
        version, symbol = msgspec.structs.astuple(_decode_head(data))
        if (version, symbol) != (VERSION, state.symbol):
            raise ValueError(f"it is of {symbol} in version {version}, not of {state.symbol} in version {VERSION}")
        carry = _decode(data)
        quantities = np.frombuffer(carry.quantities, dtype="<f8")
        changes = np.frombuffer(carry.changes, dtype="<f8").reshape(-1, 4)
        small = np.frombuffer(carry.small, dtype="<f8").reshape(2, -1)
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"not a carried state for {state.symbol}: {error}; got {data[:40]!r}") from error
    state.quantities.extend(quantities)
    state.changes.from_update_id = carry.changes_from_update_id
    state.changes.complete_after_ms = carry.changes_complete_after_ms
    counted = np.zeros((4, small.shape[1]))
    counted[TIME : KEY + 1] = small
    changes = np.concatenate((changes.T, counted), axis=1)
    state.changes.extend(changes[:, changes[TIME].argsort(kind="stable")])
    state.observed_update_id = carry.observed_update_id
    state.trades.coverage.resume(carry.observed_update_id, carry.connected_ms)

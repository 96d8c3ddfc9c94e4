"""What a new owner of a symbol cannot read from the streams, as bytes that the old owner left.

The book, the trades and the last diffs are in the streams. The last 10,000 level quantities and the level changes of
half a minute reach further back than the stream of diffs does: without them P10 and P95, and so walls and vacuums, would
jump with every change of owner.
"""

import msgspec
import numpy as np
from msgspec import Struct

from tickfence.analytics.level_changes import AFTER, BEFORE, KEY
from tickfence.analytics.symbol_state import SymbolState
from tickfence.instrument import Instrument

VERSION = 1
_ICEBERG_MS = 30_000


class Carry(Struct, frozen=True, array_like=True):
    """The carried state. Arrays are little-endian float64, oldest first."""

    version: int
    symbol: Instrument
    observed_update_id: int
    quantities: bytes
    changes: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Carry).decode


def dump(state: SymbolState, now_ms: int) -> bytes:
    """The state to carry over, at most 80 kB and what large levels and traded prices changed in 30 s.

    It is a complete one: diffs up to `observed_update_id` are in it, a new owner needs those after it. Changes that
    can be no part of an anomaly (of levels that never were half of P95 and did not trade) are left out.
    """
    state.fold()
    changes = state.changes.columns
    p95 = state.quantities.percentile(95)
    if p95 is not None:
        first, last = state.trades.between(now_ms - _ICEBERG_MS, now_ms)
        large = np.maximum(changes[BEFORE], changes[AFTER]) >= p95 / 2
        # np.isin is several times quicker where few values are looked for.
        prices = np.unique(state.trades.prices(first, last))
        traded = np.isin(np.abs(changes[KEY]), prices)
        changes = changes[:, large | traded]
    quantities = state.quantities.oldest_first()
    return _encode(
        Carry(
            VERSION,
            state.symbol,
            state.observed_update_id,
            quantities.astype("<f8").tobytes(),
            changes.T.astype("<f8").tobytes(),
        )
    )


def restore(state: SymbolState, data: bytes) -> None:
    """Puts carried state into a new SymbolState, before its first load_snapshot().

    Raises:
        ValueError: the data is not a carry of this symbol and version, or the state is in use already. The state is
            unchanged then.
    """
    if state.book.last_update_id or len(state.quantities):
        raise ValueError(f"the state of {state.symbol} is in use already: a carry is for a new one")
    try:
        carry = _decode(data)
        quantities = np.frombuffer(carry.quantities, dtype="<f8")
        changes = np.frombuffer(carry.changes, dtype="<f8").reshape(-1, 4)
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"not a carried state: {error}; got {data[:40]!r}") from error
    if (carry.version, carry.symbol) != (VERSION, state.symbol):
        raise ValueError(
            f"the carried state is of {carry.symbol} in version {carry.version}, not of {state.symbol} in {VERSION}"
        )
    state.quantities.extend(quantities)
    state.changes.extend(changes.T)
    state.observed_update_id = carry.observed_update_id

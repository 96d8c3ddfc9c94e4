"""A file with all symbols, for ``celery symbols apply``. No I/O.

One symbol a line, optionally followed by ``paused``::

    # majors
    BTCUSDT
    ETHUSDT
    LUNAUSDT paused   # until it is listed again
    okx:BTC-USDT
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from tickfence.coordination.desired import SymbolState
from tickfence.instrument import Instrument, as_typed, parse_instrument

_COMMENT = re.compile(r"(?:^|\s)#")


def parse_symbols(lines: Iterable[str]) -> dict[Instrument, SymbolState]:
    """Return symbol -> active or paused, in the order of the lines.

    Raises:
        ValueError: A line cannot be read. The text names its number and what is accepted.

    Example:
        >>> parse_symbols(["BTCUSDT", "", "ethusdt paused  # for now"])
        {'BTCUSDT': <SymbolState.ACTIVE: 'active'>, 'ETHUSDT': <SymbolState.PAUSED: 'paused'>}
    """
    found: dict[Instrument, SymbolState] = {}
    placed: dict[Instrument, int] = {}
    for number, line in enumerate(lines, 1):
        words = _COMMENT.split(line.removeprefix("\ufeff"))[0].split()
        if not words:
            continue
        try:
            symbol = parse_instrument(as_typed(words[0]))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if words[1:] not in ([], [SymbolState.PAUSED]):
            raise ValueError(
                f"line {number}: {' '.join(words)!r} must be a symbol, or a symbol and the word paused; # begins a comment"
            )
        if symbol in found:
            raise ValueError(f"line {number}: {symbol} is in line {placed[symbol]} already; list each symbol once")
        found[symbol] = SymbolState.PAUSED if words[1:] else SymbolState.ACTIVE
        placed[symbol] = number
    return found

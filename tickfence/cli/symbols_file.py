"""A file with all symbols, for ``celery symbols apply``. No I/O.

One symbol a line, optionally followed by ``paused``::

    # majors
    BTCUSDT
    ETHUSDT
    LUNAUSDT paused   # until it is listed again
"""

from __future__ import annotations

from collections.abc import Iterable

from tickfence.coordination.desired import SymbolState
from tickfence.instrument import Instrument, parse_instrument


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
        words = line.removeprefix("\ufeff").partition("#")[0].split()
        if not words:
            continue
        try:
            symbol = parse_instrument(words[0].upper())
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

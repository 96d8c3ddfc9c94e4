"""Which symbols there are, and which of them get no reports on purpose. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tickfence.analytics.freshness import Idle
from tickfence.coordination.desired import Desired, parse_desired
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument


def stored_desired(fields: Mapping[bytes, bytes]) -> Desired | None:
    """Return the desired state in the reply to ``HGETALL nt:desired``.

    ``None`` also if it cannot be read. Beats say so and go on with what they follow, so reports must stay readable: what
    is assigned shows the symbols then.
    """
    try:
        return parse_desired(fields)
    except ValueError:
        return None


def all_symbols(
    desired: Desired | None, assigned: Collection[Instrument], configured: Sequence[Instrument]
) -> tuple[Instrument, ...]:
    """Return all symbols, paused ones too.

    Those that operators want, and those that are assigned (by a leader of an older version, say) unless operators have
    removed them. While nothing is stored or assigned, as in single-instance mode before, those of ``SYMBOLS``.

    Args:
        desired: What operators want; ``None`` if nothing is stored.
        assigned: The symbols of the assignment.
        configured: ``SYMBOLS``. Its order comes first, then the alphabet's.
    """
    wanted = {*desired.listed, *assigned} - desired.removed.keys() if desired else set(assigned)
    if not wanted and not desired:
        return tuple(configured)
    place = {symbol: number for number, symbol in enumerate(configured)}
    return tuple(sorted(wanted, key=lambda symbol: (place.get(symbol, len(place)), symbol)))


def idle_symbols(desired: Desired | None, verdicts: Verdicts, now_ms: int) -> dict[Instrument, Idle]:
    """Return the symbols that nobody is to work on, and why.

    Args:
        desired: What operators want; ``None`` if nothing is stored.
        verdicts: What the leading beat has found to be stuck.
        now_ms: The server's time.
    """
    known = desired.symbols if desired else {}
    resumed = {symbol: known[symbol].since_ms for symbol in verdicts.blamed.keys() & known.keys()}
    found: dict[Instrument, Idle] = dict.fromkeys(verdicts.set_aside(now_ms, resumed), "set aside")
    return found | dict.fromkeys(desired.paused if desired else (), "paused")

"""Reports made again from recorded inputs, never from reports. Needs the extra ``recordings``.

What a report was made from is recorded with it as a basis (:mod:`tickfence.analytics.basis`). A rebuild follows the bases
of each owner in the order of their writing: it starts where the owner started, with the same snapshot, carry and
entries; reads as far as the owner had read; runs the slow cycle when the owner did. So each report is the very same
bytes. Where the recording lacks something of that, a rebuild goes on from the nearest recorded snapshot, and says of
each report what may differ until every window is full again.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.left import Left
from tasks.rebuild_grid import on_grid
from tasks.rebuilt import CARRY_MS, NO_START, SEED_MS, Rebuilt
from tasks.recorded_entries import Recorded
from tasks.recorded_market import LEAD_MS, RecordedMarket
from tasks.replay import Replay
from tickfence.analytics.basis import Basis, Kind
from tickfence.instrument import Instrument

SLOW_MS = 20_000
"""How long before the first report slow cycles are run: what they find is in use for a few seconds."""

OWNERS = 8
"""Owners of a symbol whose states are kept, those that wrote last."""


def rebuild(
    recording: Recorded,
    symbol: Instrument,
    from_ms: int,
    to_ms: int,
    every_ms: int | None = None,
    slow_period_ms: int = 2_000,
) -> Iterator[Rebuilt]:
    """Make the reports of one symbol again; left out are those of which the recording does not have the book.

    Args:
        recording: what was recorded.
        symbol: whose reports.
        from_ms, to_ms: ``updatedAt`` of the reports, from_ms <= updatedAt < to_ms.
        every_ms: the cadence; ``None`` for that of the live reports whose basis is recorded.
        slow_period_ms: how often slow sections are computed on a grid: ``NT_SLOW_PERIOD_MS``.
    """
    if every_ms is not None:
        yield from on_grid(recording, symbol, from_ms, to_ms, every_ms, slow_period_ms)
        return
    for step in replay(recording, symbol, from_ms, to_ms):
        if step.report and step.basis is not None and step.basis.kind is Kind.REPORT:
            yield step


def replay(recording: Recorded, symbol: Instrument, from_ms: int, to_ms: int) -> Iterator[Rebuilt]:
    """What owners of one symbol made from ``from_ms`` to ``to_ms``: reports, and slow sections in their place.

    Arguments as of :func:`rebuild`.
    """
    market = RecordedMarket(recording, symbol, from_ms, to_ms)
    left = Left(market)
    replays: dict[str, Replay] = {}
    for basis in market.bases():
        inputs, start = basis.inputs, basis.start
        known = replays.pop(basis.owner, None)
        if start is not None and (start.fresh or (known is not None and known.fresh_ms == inputs.fresh_ms)):
            known = Replay(symbol, market, left) if known is None or start.fresh else known
            if known.start(basis, start):
                _keep(replays, basis.owner, known)
                continue
        if known is None or (known.fresh_ms, known.started_ms) != (inputs.fresh_ms, inputs.started_ms):
            known = _seeded(market, symbol, left, basis, from_ms)
        if known is not None:
            _keep(replays, basis.owner, known)
        if start is None:
            yield from _made(known, basis, from_ms)


def _keep(replays: dict[str, Replay], owner: str, replay: Replay) -> None:
    """Keep the state of an owner, and those of a few more: the others have written their last."""
    replays[owner] = replay
    if len(replays) > OWNERS:
        del replays[next(iter(replays))]


def _made(replay: Replay | None, basis: Basis, from_ms: int) -> Iterator[Rebuilt]:
    wanted = basis.at_ms >= from_ms
    if replay is None:
        if wanted:
            yield Rebuilt(basis.at_ms, b"", basis, NO_START)
    elif wanted or (basis.kind is Kind.SLOW and basis.at_ms >= from_ms - SLOW_MS):
        made = replay.slow(basis) if basis.kind is Kind.SLOW else replay.report(basis)
        if wanted:
            yield Rebuilt(basis.at_ms, made or b"", basis, replay.reason(basis))


def _seeded(market: RecordedMarket, symbol: Instrument, left: Left, basis: Basis, from_ms: int) -> Replay | None:
    """A replay of an owner whose start is not recorded, or lies too far back; ``None`` where it is too early for one."""
    fresh_ms, now_ms = basis.inputs.fresh_ms, basis.at_ms
    latest_ms = max(now_ms, from_ms - CARRY_MS)
    carried = market.carry_before(max(fresh_ms, latest_ms - LEAD_MS), latest_ms)
    begin_ms = from_ms - SEED_MS if carried is None else carried.time_ms
    if now_ms < begin_ms:
        return None
    made = Replay(symbol, market, left)
    return made if made.seed(basis, None if carried is None else carried.data) else None

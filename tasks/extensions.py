"""The sections of other packages on this node: each is computed apart, so that a bad one costs its own section alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from msgspec import Raw

from tickfence.analytics.extensions import Found, Installed, extended
from tickfence.analytics.market import Market, SlowMarket
from tickfence.analytics.report import SLOW_MAX_AGE_MS
from tickfence.analytics.symbol_state import SymbolState
from tickfence.monitoring import node_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit

logger = logging.getLogger(__name__)

SAY_EVERY_S = 60.0
"""How often the same trouble of one section is logged."""

STRIKES = 20
"""A section is switched off once it was over its budget so many times more often than within it."""


class Extensions:
    """Computes sections, and switches off what takes too long again and again, until the next start of the node.

    Args:
        found: what is installed.
        node: id of this node.
        budget_ms: how long one section may take for one symbol: ``NT_SECTION_BUDGET_MS``.
        clock: seconds, for measuring.
    """

    def __init__(
        self, found: Found, node: str, budget_ms: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._fast = [section for section in found.sections if section.fast]
        self._slow = [section for section in found.sections if not section.fast]
        self._node, self._budget_s, self._clock = node, budget_ms / 1000, clock
        self._strikes = {section.name: 0 for section in found.sections}
        self._log = LogLimit(SAY_EVERY_S)
        for name in self._strikes:
            metrics.registry.begin(section=name)
        for name, why in found.bad.items():
            metrics.registry.begin(section=name)
            metrics.section_off.labels(name).set(1)
            logger.error("the section %s cannot be used: %s", name, why, extra={"node": node})
        if self._strikes:
            logger.info("sections of other packages", extra={"node": node, "sections": ", ".join(self._strikes)})

    def sections(self, core: bytes, state: SymbolState, market: SlowMarket) -> bytes:
        """The slow sections of a symbol and those of other packages; the state keeps them for the reports that follow.

        Args:
            core: what :func:`tickfence.analytics.slow_cycle.run` returned.
            state: of the symbol.
            market: that the slow sections were computed from.
        """
        found = self._compute(self._slow, market)
        if state.slow is not None:
            state.slow = state.slow._replace(extensions=found)
        return extended(core, found)

    def report(self, core: bytes, state: SymbolState, now_ms: int) -> bytes:
        """A report with the sections of other packages.

        Args:
            core: the report without them.
            state: that it was made from.
            now_ms: its time, server ms.
        """
        slow = state.slow
        found: dict[str, Raw] = {}
        # What compares trades with the book is not true while the book stands still.
        if slow is not None and not state.book_stopped and abs(now_ms - slow.computed_at) <= SLOW_MAX_AGE_MS:
            found.update(slow.extensions)
        if self._fast:
            found.update(self._compute(self._fast, Market(state, now_ms)))
        return extended(core, found)

    def _compute(self, sections: Sequence[Installed], market: Market) -> dict[str, Raw]:
        computed = ((section.name, self._alone(section, market)) for section in sections)
        return {name: found for name, found in computed if found is not None}

    def _alone(self, section: Installed, market: Market) -> Raw | None:
        """One section; None where it has nothing to say, fails, or is switched off."""
        if self._strikes[section.name] >= STRIKES:
            return None
        began = self._clock()
        try:
            return section.compute(market)
        except Exception as error:
            metrics.section_failures.labels(section.name, "error").inc()
            if (held_back := self._log.allows(section.name)) is not None:
                logger.exception(
                    "no section %s, because of an error: %s: %s",
                    section.name,
                    type(error).__name__,
                    error,
                    extra={"node": self._node, "symbol": market.state.symbol, "held_back": held_back},
                )
            return None
        finally:
            self._judge(section.name, self._clock() - began)

    def _judge(self, name: str, took_s: float) -> None:
        if took_s <= self._budget_s:
            self._strikes[name] = max(0, self._strikes[name] - 1)
            return
        metrics.section_failures.labels(name, "over budget").inc()
        self._strikes[name] += 1
        if self._strikes[name] >= STRIKES:
            metrics.section_off.labels(name).set(1)
            logger.error(
                "the section %s is switched off: it took %.3g ms, and may take NT_SECTION_BUDGET_MS=%g",
                name,
                took_s * 1000,
                self._budget_s * 1000,
                extra={"node": self._node},
            )

"""How often Python's cyclic collector stops a process."""

from __future__ import annotations

import gc

COLLECT_AFTER = 20_000
"""Objects more than before, at which the collector looks at the youngest."""


def collect_less() -> None:
    """Keep the collector from looking at all that lives as long as the process, again and again.

    To be called once a process has started: all it has then is left alone from now on. A look at all modules of a
    Celery process takes some 60 ms, in which nothing else is done. Messages, entries and reports are freed by their
    reference counts; as they come in bursts, each burst would set the collector off.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)

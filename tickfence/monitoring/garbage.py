"""Keeps Python's garbage collector from stopping a process for long."""

from __future__ import annotations

import gc

COLLECT_AFTER = 20_000
"""Number of new objects after which the collector checks the youngest generation."""


def collect_less() -> None:
    """Excludes every object that exists now from garbage collection, and makes collections rarer.

    Call it once, after a process has started. A full collection of a Celery process takes about 60 ms, in which the
    process does nothing else. Messages, entries and reports are freed by their reference counts; because they come in
    bursts, each burst would start a collection.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)

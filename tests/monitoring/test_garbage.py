"""The cyclic collector leaves alone what a process has once it has started."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tickfence.monitoring.garbage import COLLECT_AFTER, collect_less


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_is_there_is_not_looked_at_again() -> None:
    kept = [[] for _ in range(1000)]
    collect_less()
    assert gc.get_freeze_count() > 1000
    assert not any(found is kept for found in gc.get_objects())
    assert gc.get_threshold()[0] == COLLECT_AFTER


def test_cycles_made_later_are_still_freed() -> None:
    collect_less()
    loop: list[object] = []
    loop.append(loop)
    del loop
    assert gc.collect() >= 1

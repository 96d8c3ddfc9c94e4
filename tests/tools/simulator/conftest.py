"""Simulated exchanges as real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.tools.simulator.exchange_process import Exchange


@pytest.fixture
def start_exchange() -> Iterator[Callable[..., Exchange]]:
    """Starts exchanges that end with the test: ``start_exchange("--symbols", "3")``."""
    with ExitStack() as running:
        yield lambda *options: running.enter_context(Exchange(*options))


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    """One exchange for a module's tests; they must leave it as it was."""
    with Exchange("--symbols", "BTCUSDT,ETHUSDT,ADAUSDT", "--seed", "5") as running:
        yield running

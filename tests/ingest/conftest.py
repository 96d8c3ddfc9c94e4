"""An exchange and an ingest as real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.ingest.ingest_process import IngestProcess
from tests.tools.simulator.exchange_process import Exchange
from tools.local.embedded_redis import EmbeddedRedis


@pytest.fixture
def start_exchange() -> Iterator[Callable[..., Exchange]]:
    """Starts exchanges that end with the test: ``start_exchange("--symbols", "3")``."""
    with ExitStack() as running:
        yield lambda *options: running.enter_context(Exchange(*options))


@pytest.fixture
def start_ingest() -> Iterator[Callable[..., IngestProcess]]:
    """Starts ingests that end with the test: ``start_ingest(exchange, server, "BTCUSDT", NT_LOG_LEVEL="DEBUG")``."""
    with ExitStack() as running:

        def start(exchange: Exchange, server: EmbeddedRedis, symbols: str, **variables: object) -> IngestProcess:
            process = IngestProcess(
                symbols=symbols, redis_url=server.url(), ws=exchange.ws, rest=exchange.http, **variables
            )
            return running.enter_context(process)

        yield start

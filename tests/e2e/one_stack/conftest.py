"""One real stack for the tests of this folder: its own Redis, exchange, ingest, beats and nodes, on free ports."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools.local.roles import Ports, without_settings
from tools.local.stack import Stack

SYMBOLS = "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,ADAUSDT,币安人生USDT"
"""Names of every kind go all the way."""


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is starting. Tests leave every role running, but for the last one."""
    environment = without_settings(os.environ) | {"SYMBOLS": SYMBOLS}
    with Stack(tmp_path_factory.mktemp("stack"), environment, Ports.choose(usual=False)) as stack:
        stack.start()
        yield stack

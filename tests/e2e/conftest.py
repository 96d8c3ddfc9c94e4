"""One real stack for the module: its own Redis, exchange, ingest, beats and nodes, on free ports."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools.local.roles import Ports
from tools.local.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that is starting. Tests leave it as they found it: every role running."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NT_") and name != "SYMBOLS"}
    with Stack(tmp_path_factory.mktemp("stack"), plain, Ports.choose(usual=False)) as stack:
        stack.start()
        yield stack

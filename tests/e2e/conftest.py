"""One real stack for the module: its own Redis, exchange, ingest, beats and nodes, on free ports."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tools.local.roles import Ports, without_settings
from tools.local.stack import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack that is starting. Tests leave every role running, but for the last one of a module.

    A module may set variables of its own in `ENVIRONMENT`.
    """
    environment = without_settings(os.environ) | getattr(request.module, "ENVIRONMENT", {})
    with Stack(tmp_path_factory.mktemp("stack"), environment, Ports.choose(usual=False)) as stack:
        stack.start()
        yield stack

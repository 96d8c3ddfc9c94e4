"""One real stack for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.observer import picture, reports, writers
from tests.processes import wait_until
from tools.local.ports import answers
from tools.local.roles import NODES, Ports
from tools.local.stack import Stack

FLOWER_USER = "operator:with-a-password"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that writes reports, with Flower. Tests leave it as they found it: every role running."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("NT_", "FLOWER_"))}
    plain.pop("SYMBOLS", None)
    environment = plain | {"FLOWER_BASIC_AUTH": FLOWER_USER}
    with Stack(tmp_path_factory.mktemp("stack"), environment, Ports.choose(usual=False), record=True) as stack:
        stack.start()
        for port in (stack.ports.flower, *stack.ports.metrics.values()):
            wait_until(partial(answers, port), f"an answer on port {port}", timeout_s=30)
        with stack.redis_client() as client:
            wait_until(
                lambda: set(writers(reports(client, stack.settings.symbols)).values()) == set(NODES),
                lambda: f"reports from three nodes: {picture(stack)}",
                30,
                0.1,
            )
        yield stack

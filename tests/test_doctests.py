"""The examples in the docstrings of what needs no server are true."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "coordination.hrw",
        "coordination.assignment",
        "coordination.controller",
        "coordination.clock",
        "coordination.lease",
        "redis_access.errors",
        "streams.read",
        "timeline.text",
    ],
)
def test_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"tickfence.{name}"))
    assert result.attempted > 0
    assert result.failed == 0

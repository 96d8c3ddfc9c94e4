"""Waiting for what real processes do: conditions, never fixed sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None],
    what: str | Callable[[], str],
    timeout_s: float = 10.0,
    every_s: float = 0.01,
) -> T:
    """The first truthy value of ``condition``; AssertionError telling ``what`` after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what() if callable(what) else what}")
        time.sleep(every_s)
    return value

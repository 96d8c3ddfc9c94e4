"""Waits for conditions, never for a fixed time."""

from __future__ import annotations

import threading
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
    """Wait for a condition.

    Args:
        condition: called until it returns a truthy value.
        what: describes the condition, for the error.
        timeout_s: how long to wait.
        every_s: time between two calls.

    Returns:
        The first truthy value.

    Raises:
        AssertionError: there was none in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what() if callable(what) else what}")
        time.sleep(every_s)
    return value


def await_threads(name: str, timeout_s: float = 10.0) -> None:
    """Wait until every thread of this name has ended."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(timeout_s)
            assert not thread.is_alive(), f"{name} still runs after {timeout_s:g} s"

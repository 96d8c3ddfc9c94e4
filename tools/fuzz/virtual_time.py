"""Virtual time: the clocks stand still while there is work to do, and jump to the next timer when there is none.

`install` replaces `time.monotonic` and `time.time`, so call it before anything of the product is imported. A process
that has done so lives in virtual time for good.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

EPOCH_S = 1_700_000_000.0
"""Wall clock at the virtual time 0."""

_REPLY_S = 0.02


class VirtualTime:
    """The time of this process.

    Attributes:
        now_s: seconds since the start.
        waits: what is waited for outside of this process, such as replies of Redis. Time stands still meanwhile.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits = 0

    def monotonic(self) -> float:
        """In place of `time.monotonic`."""
        return self.now_s

    def wall(self) -> float:
        """In place of `time.time`."""
        return EPOCH_S + self.now_s

    def now_ms(self) -> int:
        """Wall clock, ms."""
        return round(self.wall() * 1000)

    def install(self) -> None:
        """Let this process live in this time."""
        for name, clock in (("monotonic", self.monotonic), ("time", self.wall)):
            setattr(time, name, clock)

    def stands_still_during(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """``call``, with the time standing still until it returns."""

        @wraps(call)
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.waits += 1
            try:
                return await call(*args, **kwargs)
            finally:
                self.waits -= 1

        return counted

    def loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop that lives in this time."""
        return _Loop(_Selector(self))


class _Selector(selectors.DefaultSelector):
    """Jumps to the next timer instead of waiting for it."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        if self._clock.waits or timeout is None:
            return super().select(_REPLY_S)
        self._clock.now_s += timeout
        return []


class _Loop(asyncio.SelectorEventLoop):
    """Runs what belongs into another thread at once, so that the time it takes is none."""

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the awaiting task gets it
            done.set_exception(error)
        return done

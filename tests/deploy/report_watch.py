"""Watches the reports from outside, through the HTTP API, as a fault happens."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from http.client import HTTPException
from itertools import pairwise
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.error import URLError
from urllib.request import urlopen

EVERY_S = 0.04


class Seen(NamedTuple):
    """One report: when it was written (server ms), by whom, under which token."""

    updated_ms: int
    node: str
    token: int


class ReportWatch:
    """Reads all reports again and again from a thread, and notes each one that is new.

    Parameters:
        url: of the HTTP API.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: dict[str, list[Seen]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def page(self, path: str) -> Any:
        """A page of the API, decoded."""
        with urlopen(self._url + path, timeout=2) as answer:
            return json.load(answer)

    def newest(self) -> dict[str, Seen]:
        """Symbol -> its newest report."""
        return {symbol: seen[-1] for symbol, seen in list(self._seen.items())}

    def writers(self, since_ms: int = 0) -> dict[str, str]:
        """Symbol -> who wrote its newest report, if that was after ``since_ms``."""
        return {symbol: seen.node for symbol, seen in self.newest().items() if seen.updated_ms > since_ms}

    def longest_gap_ms(self, since_ms: int) -> int:
        """The longest time that any symbol was without a new report, from its last one before ``since_ms`` on."""
        gaps = [0]
        for seen in list(self._seen.values()):
            before = [one for one in seen if one.updated_ms <= since_ms][-1:]
            after = [one for one in seen if one.updated_ms > since_ms]
            gaps += [later.updated_ms - earlier.updated_ms for earlier, later in pairwise([*before, *after])]
        return max(gaps)

    def falling_tokens(self) -> list[str]:
        """Symbols whose writer's token ever fell: there must be none."""
        return [s for s, seen in self._seen.items() if any(b.token < a.token for a, b in pairwise(seen))]

    def now_ms(self) -> int:
        """The newest report's time: the server's clock, as far as it can be seen from here."""
        return max((seen.updated_ms for seen in self.newest().values()), default=0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                reports = self.page("/reports")["reports"]
            except (URLError, OSError, HTTPException, ValueError):
                continue  # not up yet, or busy; what counts is what is read
            for report in reports:
                writer = report["writer"]
                seen = Seen(report["updatedAt"], writer["nodeId"], writer["writerToken"])
                known = self._seen[report["symbol"]]
                if not known or known[-1].updated_ms != seen.updated_ms:
                    known.append(seen)


def seconds_since(started: float) -> str:
    """For what is shown."""
    return f"{time.monotonic() - started:.1f} s"

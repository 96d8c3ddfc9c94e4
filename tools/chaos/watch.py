"""Something that is looked at in the background while a stack runs."""

from __future__ import annotations

import threading
from typing import Any, Self

from tools.chaos.history import Record


class Watch:
    """Runs :meth:`watch` in a thread, from entering the ``with`` block to leaving it; it appends to ``records``."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.watch, name=type(self).__name__, daemon=True)

    def watch(self) -> None:
        """Look until :attr:`ended` is set."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended.set()
        self._thread.join()

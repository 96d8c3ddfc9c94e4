"""``flaky://``: an object store in memory that can be told to fail."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class StoreError(Exception):
    """What the clients of object stores raise need not be an OSError."""


class Flaky(MemoryFileSystem):
    """A store in memory.

    Attributes:
        failing: name of a call -> how many of the next ones fail.
    """

    protocol = "flaky"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    failing: ClassVar[Counter[str]] = Counter()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    @classmethod
    def reset(cls) -> None:
        """Forget all, and fail no more."""
        cls.store.clear()
        cls.failing.clear()

    def _fail(self, call: str) -> None:
        if self.failing[call] > 0:
            self.failing[call] -= 1
            raise StoreError(f"503 for {call}")

    def mv(self, *arguments: Any, **options: Any) -> None:
        self._fail("mv")
        super().mv(*arguments, **options)

    def ls(self, *arguments: Any, **options: Any) -> Any:
        self._fail("ls")
        return super().ls(*arguments, **options)

    def rm_file(self, *arguments: Any, **options: Any) -> None:
        self._fail("rm_file")
        super().rm_file(*arguments, **options)

    def _open(self, *arguments: Any, **options: Any) -> Any:
        self._fail("open")
        return super()._open(*arguments, **options)


fsspec.register_implementation("flaky", Flaky, clobber=True)

"""File systems whose user is killed at a chosen step."""

from __future__ import annotations

from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem


class Killed(BaseException):
    """The process has ended here."""


class Dying:
    """Counts steps down to a kill. A file may be left half written, and a copy without its original's deletion."""

    left: int | None = None

    @classmethod
    def _step(cls) -> None:
        if Dying.left is not None:
            if not Dying.left:
                raise Killed
            Dying.left -= 1

    def makedirs(self, *arguments: Any, **options: Any) -> None:
        self._step()
        super().makedirs(*arguments, **options)  # type: ignore[misc]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "wb":
            self._step()
            try:
                self._step()
            except Killed:
                with super()._open(path, mode, **options) as stream:  # type: ignore[misc]
                    stream.write(b"PAR1 and half of it")
                raise
        return super()._open(path, mode, **options)  # type: ignore[misc]

    def mv(self, *arguments: Any, **options: Any) -> None:
        self._step()
        super().mv(*arguments, **options)  # type: ignore[misc]

    def cp_file(self, *arguments: Any, **options: Any) -> None:
        self._step()
        super().cp_file(*arguments, **options)  # type: ignore[misc]
        self._step()

    def rm_file(self, path: str) -> None:
        self._step()
        super().rm_file(path)  # type: ignore[misc]


class DyingMemory(Dying, MemoryFileSystem):
    """Like object storage: a file gets a name by being copied, then the old one is deleted."""

    protocol = "dyingmemory"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]


class DyingLocal(Dying, LocalFileSystem):
    protocol = "dyinglocal"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return LocalFileSystem._strip_protocol(str(path).removeprefix("dyinglocal://"))


fsspec.register_implementation("dyingmemory", DyingMemory, clobber=True)
fsspec.register_implementation("dyinglocal", DyingLocal, clobber=True)

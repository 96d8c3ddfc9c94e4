"""The files of the page and of the API's description, from memory."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_LEVEL = 9
_WORTH_IT = 0.9  # of the size; fonts are compressed already


class Files(StaticFiles):
    """Serves the files of a folder. Each is read and compressed at its first request, and again when it has changed.

    Parts of a file (``Range``) come from the disk and are not compressed.

    Args:
        directory: The folder.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._kept: dict[str, tuple[str, bytes, bytes]] = {}  # by path: entity tag, content, compressed

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Return the file, or 304 if the client has it."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["Vary"] = "Accept-Encoding"
        asked = Headers(scope=scope)
        if not isinstance(answer, FileResponse) or "range" in asked:
            return answer
        content, packed = self._content(str(full_path), answer.headers["ETag"])
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        if "gzip" in asked.get("accept-encoding", "") and len(packed) < _WORTH_IT * len(content):
            content = packed
            headers["content-encoding"] = "gzip"
        return Response(content, status_code, headers)

    def _content(self, path: str, tag: str) -> tuple[bytes, bytes]:
        kept = self._kept.get(path)
        if kept is None or kept[0] != tag:
            content = Path(path).read_bytes()
            kept = self._kept[path] = (tag, content, gzip.compress(content, _LEVEL, mtime=0))
        return kept[1:]

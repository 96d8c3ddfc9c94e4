"""Asking a running simulator for plants."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


def plant(address: str, name: str, **parameters: object) -> dict[str, Any]:
    """`POST /simulator/plants/<name>` at ``http://<address>``; its answer."""
    return _ask(f"http://{address}/simulator/plants/{name}", "POST", json.dumps(parameters).encode())


def remove(address: str, name: str, symbol: str) -> None:
    """`DELETE /simulator/plants/<name>`."""
    _ask(f"http://{address}/simulator/plants/{name}?symbol={symbol}", "DELETE")


def planted(address: str) -> dict[str, Any]:
    """`GET /simulator/plants`."""
    return _ask(f"http://{address}/simulator/plants", "GET")


def _ask(url: str, method: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found

"""Starting the simulated exchange as a process of its own, and clients that follow the exchange's documentation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[3]
COMMITTED_CAPTURE = Path(__file__).parent / "data" / "two-symbols"
RECORDED_CAPTURE = ROOT.parent / "shared" / "captures" / "binance-spot"

Json = dict[str, Any]


class Exchange:
    """A running `python -m tools.simulator --port 0 ...`; ends with the ``with`` block."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "tools.simulator", "--port", "0", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "listening on http://" in line, f"{line!r} {self.process.communicate()[1]}"
        self.address = line.split("http://")[1].split()[0]

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop(signal.SIGKILL)

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    @property
    def ws(self) -> str:
        return f"ws://{self.address}"

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait for the end, as :meth:`wait` does."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait for the end: exit status and what was written to stderr."""
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors

    def fault(self, name: str, **parameters: object) -> int:
        """Ask for a fault; what it answers as done."""
        body = json.dumps(parameters).encode()
        with urllib.request.urlopen(f"{self.http}/simulator/faults/{name}", data=body, timeout=10) as answer:
            return int(json.load(answer)["done"])

    def state(self) -> Json:
        """`GET /simulator/state`."""
        with urllib.request.urlopen(f"{self.http}/simulator/state", timeout=10) as answer:
            state: Json = json.load(answer)
        return state


class LocalBook:
    """A book of decimal texts, kept as the exchange documents it. ``history`` has a copy after every update."""

    def __init__(self, snapshot: Json) -> None:
        self.last_update_id: int = snapshot["lastUpdateId"]
        self.bids = dict(map(tuple, snapshot["bids"]))
        self.asks = dict(map(tuple, snapshot["asks"]))
        self.history = [self.copy()]

    def apply(self, diff: Json) -> None:
        if diff["u"] <= self.last_update_id:
            return
        assert diff["U"] <= self.last_update_id + 1, f"gap: {diff['U']} after {self.last_update_id}"
        self.last_update_id = diff["u"]
        for side, changes in ((self.bids, diff["b"]), (self.asks, diff["a"])):
            for price, quantity in changes:
                if Decimal(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.history.append(self.copy())

    def copy(self) -> tuple[int, dict[str, str], dict[str, str]]:
        return self.last_update_id, dict(self.bids), dict(self.asks)


async def events(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Json]:
    """Decoded messages until the connection ends."""
    async for message in socket:
        yield json.loads(message.data)


async def next_event(socket: aiohttp.ClientWebSocketResponse, wanted: Callable[[Json], bool]) -> Json:
    """The next message that is ``wanted``."""
    async for event in events(socket):
        if wanted(event):
            return event
    raise AssertionError(f"the connection ended with {socket.close_code} before the wanted message")

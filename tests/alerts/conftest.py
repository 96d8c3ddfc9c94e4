"""A receiver of webhooks: a real HTTP server that checks the signature of what it gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tickfence.alerts.delivery import signature

SECRET = "0123456789abcdef-secret"


class Receiver:
    """Answers with `status`, after `wait` was called, with a body without an end if it is `endless`.

    It keeps what it got, what it accepted (by Idempotency-Key), and how many signatures were wrong. What Apprise sends has
    none.
    """

    def __init__(self) -> None:
        self.status = 200
        self.endless = False
        self.wait: Callable[[], object] = lambda: None
        self.got: list[dict[str, Any]] = []
        self.accepted: list[tuple[str, str]] = []
        self.forged = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wanted = signature(SECRET, self.headers.get("Tickfence-Timestamp", ""), body)
                receiver.forged += wanted != self.headers["Tickfence-Signature"]
                receiver.got.append(json.loads(body))
                receiver.wait()
                status = receiver.status
                if status < 300 and (key := self.headers["Idempotency-Key"]):
                    message, _, state = key.rpartition("/")
                    receiver.accepted.append((message, state))
                self.send_response(status)
                self.end_headers()
                with suppress(OSError):
                    while receiver.endless:
                        self.wfile.write(b"more of it" * 1000)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()

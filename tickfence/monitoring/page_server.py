"""The HTTP server of a metrics page: few connections, each for a short time."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
TIMEOUT_S = 5.0
"""How long a client may take to send its request, and to take the answer."""

_NO_FILES_PAUSE_S = 0.1
_CLOSED_WITHIN_S = 1.0


class PageServer(ThreadingMixIn, WSGIServer):
    """Serves a WSGI application, one thread a connection.

    When `MAX_CONNECTIONS` are open, a further one ends the oldest: a scrape takes milliseconds, so the oldest is one that
    sends nothing. The process's files and threads are therefore safe from clients, and a scrape from other clients.

    Args:
        host: the address to listen on.
        port: its port.
        page: the application.

    Raises:
        OSError: the address cannot be opened.
    """

    daemon_threads = True
    request_queue_size = 128  # the kernel's, so these cost no file

    def __init__(self, host: str, port: int, page: Callable[..., Any]) -> None:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = family
        self._open: list[socket.socket] = []  # the oldest first
        self._closed = threading.Condition()
        super().__init__((str(address[0]), port), RequestHandler)
        self.set_app(page)

    def start(self) -> None:
        """Serve from a daemon thread, until the process ends."""
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def server_bind(self) -> None:
        """Bind the socket. The standard library's server also looks up the host's name, which may take long."""
        TCPServer.server_bind(self)
        host, self.server_port = self.socket.getsockname()[:2]
        self.server_name = str(host)
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. Without a free file the next attempt waits: it would fail at once, again and again."""
        try:
            connection, address = super().get_request()
        except OSError:
            time.sleep(_NO_FILES_PAUSE_S)
            raise
        with self._closed:
            while len(self._open) >= MAX_CONNECTIONS:
                _end(self._open[0])
                self._closed.wait(_CLOSED_WITHIN_S)
            self._open.append(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        super().shutdown_request(request)
        with self._closed:
            self._open.remove(request)
            self._closed.notify()

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Log what went wrong, unless the client did: it was too slow, or has gone."""
        if not isinstance(sys.exception(), OSError):
            logger.exception("cannot serve the metrics")


class RequestHandler(WSGIRequestHandler):
    """Answers one request, and closes the connection."""

    timeout = TIMEOUT_S

    def log_message(self, *_: Any) -> None:
        """Log no request."""


def _end(connection: socket.socket) -> None:
    """Wake the thread that waits for a connection; it closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was quicker

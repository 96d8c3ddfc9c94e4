"""``python -m web --port 8000``: serve page, HTTP API, streams and MCP, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import logging
import re
import resource
import signal
import socket
import sys

import uvicorn
from sse_starlette.sse import AppStatus

import settings as environment
from monitoring import logs
from monitoring.garbage import collect_less
from web.app import create_app
from web.backend import Backend

DEFAULT_PORT = 8000
_BACKLOG = 1024
_SEND_BUFFER = 64 * 1024
"""What the kernel keeps for a client that does not read; by default it would be megabytes of outdated state."""
_DEAD_AFTER_MS = 30_000
"""A client that takes nothing for so long is cut off by the kernel (Linux)."""
_SHUTDOWN_S = 2
_OTHER_CONNECTIONS = 500
_OTHER_FILES = 100
_LAST_PORT = 65_535
_SHOWN = 40  # of a bad argument

logger = logging.getLogger("web")


def parser() -> argparse.ArgumentParser:
    """All options with their defaults."""
    p = argparse.ArgumentParser(prog="python -m web", description=__doc__)
    p.add_argument("--host", type=_host, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    p.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s")
    return p


def main() -> int:
    """Serve; the exit status."""
    arguments = parser().parse_args()
    settings = environment.load()
    try:
        listener = listen(arguments.host, arguments.port)
    except OSError as error:
        other = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        why = f"{error.strerror or error}; give another {other}"
        print(f"error: cannot listen on {arguments.host}, port {arguments.port}: {why}", file=sys.stderr)
        return 1
    logs.configure(settings.nt_log_level, role="web")
    loopback = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    if not loopback and not settings.nt_web_token:
        logger.warning(
            "whoever reaches this address can read everything: set NT_WEB_TOKEN", extra={"host": arguments.host}
        )
    serve(listener, settings, loopback=loopback)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: there is no such address, or its port is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, backend: Backend) -> None:
        super().__init__(config)
        self._backend = backend

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._backend.feed.end()
        await super().shutdown(sockets)


def serve(listener: socket.socket, settings: environment.Settings, *, loopback: bool) -> None:
    """Serve on ``listener`` until SIGTERM or SIGINT; open streams do not hold up the end."""
    backend = Backend(settings)
    config = uvicorn.Config(
        create_app(backend, loopback=loopback),
        log_config=None,
        log_level="warning",
        access_log=False,  # a token may stand in a page's address
        server_header=False,
        ws="none",
        backlog=_BACKLOG,
        limit_concurrency=settings.nt_web_max_streams + _OTHER_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = _Server(config, backend)

    def end(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn has handlers of its own while it serves, and sends itself the signal again when it has ended. One that
        # comes before is not to be lost.
        signal.signal(number, end)
    host, port, *_ = listener.getsockname()
    logger.info("web starts", extra={"address": f"http://{f'[{host}]' if ':' in host else host}:{port}"})
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # it looks twice a second, and breaks streams off
    _allow_sockets(config.limit_concurrency or 0)
    collect_less()
    server.run(sockets=[listener])
    logger.info("web stopped")


def _allow_sockets(most: int) -> None:
    """Raise this process's limit of open files, where it may and has to."""
    wanted = most + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning("fewer clients than set: raise ulimit -n", extra={"files": allowed, "wanted": wanted})


def _host(text: str) -> str:
    try:
        if not text.encode("idna"):
            raise UnicodeError("it is empty")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} must be a host's name or address: {error}") from None
    return text


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} must be a whole number from 0 to {_LAST_PORT}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())

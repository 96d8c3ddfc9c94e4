"""Serving on a socket until a signal comes."""

from __future__ import annotations

import logging
import resource
import signal
import socket

import uvicorn
from sse_starlette.sse import AppStatus

from tickfence.monitoring.garbage import collect_less
from tickfence.settings import Settings
from tickfence.web.app import create_app
from tickfence.web.backend import Backend
from tickfence.web.guard import LOOPBACK_NAMES
from tickfence.web.listening import BACKLOG

_SHUTDOWN_S = 2
_OTHER_CONNECTIONS = 500
_OTHER_FILES = 100

logger = logging.getLogger("web")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, backend: Backend) -> None:
        super().__init__(config)
        self._backend = backend

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._backend.feed.end()
        await super().shutdown(sockets)


def serve(listener: socket.socket, settings: Settings, *, loopback: bool) -> None:
    """Serve on ``listener`` until SIGTERM or SIGINT; open streams do not hold up the end."""
    backend = Backend(settings)
    host, port, *_ = listener.getsockname()
    written = f"[{host}]" if ":" in host else host
    config = uvicorn.Config(
        create_app(backend, names={*LOOPBACK_NAMES, written} if loopback else ()),
        log_config=None,
        log_level="warning",
        access_log=False,  # a token may stand in a page's address
        server_header=False,
        ws="none",
        backlog=BACKLOG,
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
    logger.info("web starts", extra={"address": f"http://{written}:{port}"})
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

"""Serving on a listening socket until a signal comes."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket

import uvicorn
from sse_starlette.sse import AppStatus

from tickfence.monitoring import exporter, web_metrics
from tickfence.monitoring.garbage import collect_less
from tickfence.readers.reader import Reader
from tickfence.settings import Settings
from tickfence.web.app import create_app
from tickfence.web.command import BACKLOG
from tickfence.web.connections import PromptProtocol
from tickfence.web.feed import Feed
from tickfence.web.tokens import Tokens

DEFAULT_METRICS_PORT = 9161
_SHUTDOWN_S = 2
_OTHER_CONNECTIONS = 500
_THIS_MACHINE = "127.0.0.1,::1,::ffff:127.0.0.1"  # the last one is what a socket of IPv6 calls the first
_OTHER_FILES = 100 + BACKLOG  # so many connections may come before the first of them is looked at

logger = logging.getLogger("web")


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, feed: Feed) -> None:
        super().__init__(config)
        self._feed = feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._feed.end()
        await super().shutdown(sockets)


def serve(listener: socket.socket, settings: Settings, tokens: Tokens, *, loopback: bool) -> None:
    """Serve on ``listener`` until SIGTERM or SIGINT. Open streams do not delay the end.

    Args:
        listener: A listening socket.
        settings: The environment's.
        tokens: Who may read.
        loopback: Whether only this machine can reach the socket.
    """
    reader = Reader(settings)
    feed = Feed(reader)
    host, port, *_ = listener.getsockname()
    written = f"[{host}]" if ":" in host else host
    # A page of another site has no token, so a name that it makes up for this machine (see `host_names`) is of no use to it.
    any_host = tokens and not loopback and not settings.nt_web_allowed_hosts
    config = uvicorn.Config(
        create_app(reader, feed, tokens, hosts=None if any_host else settings.nt_web_allowed_hosts),
        log_config=None,
        log_level="warning",
        access_log=False,  # a page's address may contain a token
        server_header=False,
        http=PromptProtocol,
        ws="none",
        forwarded_allow_ips=os.environ.get("FORWARDED_ALLOW_IPS", _THIS_MACHINE),
        backlog=BACKLOG,
        limit_concurrency=settings.nt_web_max_streams + _OTHER_CONNECTIONS,
        timeout_graceful_shutdown=_SHUTDOWN_S,
    )
    server = _Server(config, feed)

    def end(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn installs its own handlers while it serves, and sends the signal to itself again at its end. A signal
        # that comes before that must not be lost.
        signal.signal(number, end)
    port_of_metrics = DEFAULT_METRICS_PORT if settings.nt_metrics_port is None else settings.nt_metrics_port
    exporter.serve(port_of_metrics, settings.nt_metrics_host, web_metrics.registry, settings.nt_metrics_allowed_hosts)
    logger.info("web starts", extra={"address": f"http://{written}:{port}"})
    AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]  # it polls twice a second, and cuts streams off
    _allow_sockets(config.limit_concurrency or 0)
    collect_less()
    server.run(sockets=[listener])
    logger.info("web stopped")


def _allow_sockets(connections: int) -> None:
    """Raise this process's limit of open files if it is too low and the hard limit allows it."""
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning("fewer clients than set: raise ulimit -n", extra={"files": allowed, "wanted": wanted})

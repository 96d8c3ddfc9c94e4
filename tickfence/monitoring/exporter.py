"""The `/metrics` page of a process."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Collection, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app

from tickfence.monitoring import host_names
from tickfence.monitoring.page_server import PageServer

logger = logging.getLogger(__name__)

Page = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application."""

_EVERY_ADDRESS = ("0.0.0.0", "::")


def serve(port: int, host: str, registry: CollectorRegistry, names: Collection[str] = ()) -> int | None:
    """Serves a role's metrics from a daemon thread.

    If the port is taken, the process runs on without metrics and logs an error.

    Args:
        port: `NT_METRICS_PORT`; 0 turns metrics off.
        host: the address to listen on.
        registry: the role's metrics.
        names: `NT_METRICS_ALLOWED_HOSTS`.

    Returns:
        The port, or None when nothing is served.

    Raises:
        OSError: the address cannot be opened for a reason other than that it is taken, reserved or not of this host.
    """
    if port == 0:
        return None
    try:
        PageServer(host, port, _guarded(make_wsgi_app(registry), names)).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        logger.error(
            "no metrics: NT_METRICS_PORT=%d on %s cannot be opened (%s); give each process on this host its own port",
            port,
            host,
            error.strerror,
        )
        return None
    return port


def _guarded(page: Page, names: Collection[str]) -> Page:
    """The page, for requests whose `Host` header is accepted."""

    def answer(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if host_names.accepted(environment.get("HTTP_HOST", ""), names):
            return page(environment, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"this name is not accepted; add it to NT_METRICS_ALLOWED_HOSTS\n"]

    return answer


def page_url(port: int | None, host: str) -> str:
    """The URL of the page that serve() serves, for other machines; empty when there is none.

    A process that listens on every address is reached by the machine's name.

    Example:
        >>> page_url(9101, "10.0.0.7")
        'http://10.0.0.7:9101/metrics'
    """
    if port is None:
        return ""
    name = socket.gethostname() if host in _EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/metrics"

"""The ``/metrics`` page of a process."""

from __future__ import annotations

import errno
import logging
import socket

from prometheus_client import CollectorRegistry, start_http_server

logger = logging.getLogger(__name__)

_EVERY_ADDRESS = ("0.0.0.0", "::")


def serve(port: int, host: str, registry: CollectorRegistry) -> int | None:
    """Serve a role's metrics from a daemon thread; return the port.

    A port that is taken costs the process its metrics, not its life: it is logged, and ``None`` is returned, as it
    is for port 0 (metrics are off).
    """
    if port == 0:
        return None
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        logger.error(
            "no metrics: NT_METRICS_PORT=%d on %s cannot be opened (%s); give each process of this host a port of its own",
            port,
            host,
            error.strerror,
        )
        return None
    return port


def page_url(port: int | None, host: str) -> str:
    """Where others find the page that :func:`serve` serves; empty where there is none.

    A host that stands for every address of this machine is nowhere to go to: the machine's name stands for it.

    Example:
        >>> page_url(9101, "10.0.0.7")
        'http://10.0.0.7:9101/metrics'
    """
    if port is None:
        return ""
    name = socket.gethostname() if host in _EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/metrics"

"""The ``/metrics`` page of a process."""

from __future__ import annotations

import errno
import logging

from prometheus_client import CollectorRegistry, start_http_server

logger = logging.getLogger(__name__)


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

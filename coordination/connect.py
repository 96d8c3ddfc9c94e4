"""Redis clients for coordination: short waits, and no retry that nobody asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, *, name: str, timeout_s: float = 1.0, dedicated: bool = False) -> Any:
    """A client that fails within ``timeout_s`` rather than wait.

    redis-py's own retry sleeps for seconds; here the caller decides what may be sent again, and when.

    Parameters:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        name: shown by ``CLIENT LIST``.
        dedicated: one connection for the client's whole life, never shared and never replaced by a pool.
    """
    return redis.Redis.from_url(
        url,
        client_name=name,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=dedicated,
    )


def pauses(first_s: float = 0.02, longest_s: float = 0.25) -> Iterator[float]:
    """Waits between attempts to reach Redis again: doubling, bounded, each with full jitter above half.

    The bound is low on purpose: reports must be back within 2 s of Redis.
    """
    wait = first_s
    while True:
        yield wait * random.uniform(0.5, 1)
        wait = min(2 * wait, longest_s)

"""Kombu's transport for a broker behind Sentinel, whose connections end when Sentinel replaces the master."""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import SentinelChannel, SentinelTransport

from tickfence.redis_access.switched_master import FollowingConnection


class Channel(SentinelChannel):
    """Kombu's own, with our connections."""

    connection_class = FollowingConnection


class Transport(SentinelTransport):
    """Kombu's own, with our channels."""

    Channel = Channel


def follow_switches() -> None:
    """Use this transport for ``sentinel://``. By the alias, because kombu goes back to it when it tries the next URL."""
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:Transport"

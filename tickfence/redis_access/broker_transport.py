"""Kombu's connections to a broker behind Sentinel end when Sentinel replaces the master, as ours do."""

from __future__ import annotations

from kombu.transport.redis import SentinelChannel

from tickfence.redis_access.switched_master import FollowingConnection


def follow_switches() -> None:
    """Have kombu connect by our class. Its transport has no option for that."""
    SentinelChannel.connection_class = FollowingConnection

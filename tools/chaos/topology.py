"""The shapes that the tormented stack's Redis can have."""

from __future__ import annotations

from enum import StrEnum


class Topology(StrEnum):
    """Where data plane and broker live.

    Attributes:
        SINGLE: on one server; a node reaches it through a proxy.
        SENTINEL: on a master that has a replica, and three Sentinels.
    """

    SINGLE = "single"
    SENTINEL = "sentinel"

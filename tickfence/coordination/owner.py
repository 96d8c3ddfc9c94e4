"""An owner is one process start, not one name."""

from __future__ import annotations

import secrets
from typing import NamedTuple


class Owner(NamedTuple):
    """A node id and the incarnation that tells one start of that node from the next.

    As text, ``node-001/5f0c9a1be2d43786``: this is what leases, assignments and messages carry.
    """

    node: str
    incarnation: str

    @classmethod
    def start(cls, node: str) -> Owner:
        """A new incarnation of ``node``."""
        return cls(node, secrets.token_hex(8))

    @classmethod
    def parse(cls, text: str) -> Owner:
        """Inverse of ``str``. Raises :exc:`ValueError` on anything but ``node/incarnation``."""
        node, separator, incarnation = text.rpartition("/")
        if not separator or not node or not incarnation:
            raise ValueError(f"owner {text!r} must be node/incarnation")
        return cls(node, incarnation)

    def __str__(self) -> str:
        return f"{self.node}/{self.incarnation}"

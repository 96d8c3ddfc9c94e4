"""Who owns a symbol: one start of a process, not just a node's name."""

from __future__ import annotations

import secrets
from typing import NamedTuple


class Owner(NamedTuple):
    """A node id, and the incarnation that tells one start of that node from the next.

    Leases, assignments and messages hold it as text: ``node-001/5f0c9a1be2d43786``.
    """

    node: str
    incarnation: str

    @classmethod
    def start(cls, node: str) -> Owner:
        """A new incarnation of ``node``."""
        return cls(node, secrets.token_hex(8))

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The owner of which ``text`` is the ``str``.

        Raises:
            ValueError: it is not ``node/incarnation``.
        """
        node, separator, incarnation = text.rpartition("/")
        if not separator or not node or not incarnation:
            raise ValueError(f"owner {text!r} must be node/incarnation")
        return cls(node, incarnation)

    def __str__(self) -> str:
        return f"{self.node}/{self.incarnation}"

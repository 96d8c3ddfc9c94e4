"""The product with a fence that is none: :class:`tools.benchmarks.peers.naive_writer.NaiveWriter`.

For ``celery -A tools.benchmarks.peers.naive_app worker``; all but the write is the product's. It measures what leaving
the fence out saves.
"""

from __future__ import annotations

from typing import Any

from celery.signals import celeryd_init

from tasks.celery_app import app
from tasks.lifecycle import this_node  # connects its own handlers first
from tools.benchmarks.peers.naive_writer import NaiveWriter

__all__ = ["app"]


@celeryd_init.connect  # type: ignore[untyped-decorator]
def write_without_a_fence(**_: Any) -> None:
    """Give the node its writer, before it has any symbols."""
    node = this_node()
    node.writer = NaiveWriter(node.owner, node.settings)

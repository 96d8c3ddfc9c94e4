"""Which master of a Redis Cluster each symbol belongs to."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping

from redis.asyncio.cluster import ClusterNode, RedisCluster

from ingest.backoff import Backoff
from ingest.log_limit import LogLimit
from ingest.redis_connection import IO_TIMEOUT_S, Address, Open, options, to_node
from tickfence.instrument import Instrument
from tickfence.redis_access.address import Cluster
from tickfence.redis_access.errors import UNAVAILABLE
from tickfence.streams.keys import book_key

logger = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.05, 0.25

Placement = Mapping[Address, tuple[Instrument, ...]]
"""The symbols of each master. All keys of a symbol share a slot, so a symbol has one master."""


class ClusterMap:
    """Where the cluster's nodes say the symbols are, asked for again whenever that is in doubt."""

    def __init__(self, cluster: Cluster, symbols: Iterable[Instrument]) -> None:
        self._cluster = cluster
        self._symbols = tuple(symbols)
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in cluster.nodes],
            require_full_coverage=False,  # slots that none of our symbols is in do not matter
            username=cluster.username,
            password=cluster.password,
            client_name="ingest",
            **options(),
        )
        self._placement: Placement = {}
        self._in_doubt = asyncio.Event()
        self._in_doubt.set()
        self._logs = LogLimit()

    def doubt(self) -> None:
        """A master was away, or sent us elsewhere."""
        self._in_doubt.set()

    def connect(self, master: Address) -> Open:
        """Opens connections to one of the masters."""
        return to_node(master, self._cluster.username, self._cluster.password)

    async def changed(self) -> Placement:
        """Return once the symbols are placed otherwise than this last returned."""
        backoff = Backoff(FIRST_RETRY_S, LONGEST_RETRY_S)
        while True:
            await self._in_doubt.wait()
            self._in_doubt.clear()
            try:
                async with asyncio.timeout(IO_TIMEOUT_S):
                    placement = await self._ask()
            except UNAVAILABLE as error:
                self._in_doubt.set()
                if (held := self._logs.allows("unknown")) is not None:
                    cause = f"{type(error).__name__} {error}"
                    logger.warning("no node tells the cluster's slots", extra={"error": cause, "held_back": held})
            else:
                if placement != self._placement:
                    self._placement = placement
                    return placement
            await asyncio.sleep(backoff.next_s())

    async def _ask(self) -> Placement:
        nodes = self._client.nodes_manager
        try:
            # The nodes it found last time are asked first; those of the URL are names that outlive addresses.
            await nodes.initialize(additional_startup_nodes_info=list(self._cluster.nodes))
            placement: dict[Address, list[Instrument]] = defaultdict(list)
            for symbol in self._symbols:
                node = self._client.get_node_from_key(book_key(symbol))
                if node is not None:  # that is for replicas
                    placement[node.host, int(node.port)].append(symbol)
        finally:
            await nodes.aclose()
            await nodes.aclose("startup_nodes")
        return {master: tuple(symbols) for master, symbols in placement.items()}

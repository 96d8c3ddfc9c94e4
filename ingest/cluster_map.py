"""Which master of a Redis Cluster each symbol belongs to."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping

from ingest.keep_connected import FIRST_RETRY_S, MAXIMUM_RETRY_S
from ingest.pacing import LogLimit
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.address import Address, Cluster
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Backoff
from tickfence.redis_access.raw_connection import Opener, opener
from tickfence.redis_access.slots import read_masters

logger = logging.getLogger(__name__)

NODE_TIMEOUT_S = 0.5

Placement = Mapping[Address, tuple[Instrument, ...]]
"""The symbols of each master. All keys of a symbol share a slot, so a symbol has one master."""


class ClusterMap:
    """Where the cluster's nodes say the symbols are. It asks again whenever that is in doubt.

    Args:
        cluster: its nodes and its account.
        symbols: the symbols to place at first.
        keys: every key of the deployment.
        name: of connections, shown by ``CLIENT LIST``.
    """

    def __init__(self, cluster: Cluster, symbols: Iterable[Instrument], keys: Keys, name: str) -> None:
        self._name = name
        self._cluster = cluster
        self._symbols = tuple(symbols)
        self._keys = keys
        self._nodes = deque(cluster.nodes)
        self._placement: Placement = {}
        self._in_doubt = asyncio.Event()
        self._in_doubt.set()
        self._logs = LogLimit()

    def follow(self, symbols: Iterable[Instrument]) -> None:
        """Place exactly these symbols from now on."""
        self._symbols = tuple(symbols)
        self.doubt()

    def doubt(self) -> None:
        """Ask again: a master was unavailable, or named another one."""
        self._in_doubt.set()

    def opener(self, node: Address, timeout_s: float = 1.0) -> Opener:
        """What opens connections to one of the nodes."""
        return opener(self._cluster.node_url(node), name=self._name, timeout_s=timeout_s)

    async def changed(self) -> Placement:
        """Return once the symbols are placed otherwise than this last returned."""
        backoff = Backoff(base=FIRST_RETRY_S, cap=MAXIMUM_RETRY_S)
        while True:
            await self._in_doubt.wait()
            self._in_doubt.clear()
            placement = await self._ask()
            if placement is None:
                self._in_doubt.set()
            elif placement != self._placement:
                self._placement = placement
                # The masters are asked first next time; the nodes of the URL are names that outlive addresses.
                self._nodes = deque(dict.fromkeys([*placement, *self._cluster.nodes]))
                return placement
            await asyncio.sleep(backoff.next_s())

    async def _ask(self) -> Placement | None:
        """What the first node says that answers; ``None`` if none does."""
        symbols = self._symbols  # others may be followed when the answer comes
        for host, port in list(self._nodes):
            try:
                connection = await self.opener((host, port), NODE_TIMEOUT_S)()
                try:
                    masters = await read_masters(connection, host, [self._keys.book(symbol) for symbol in symbols])
                finally:
                    await connection.close()
            except REDIS_ERRORS as error:
                self._nodes.rotate(-1)
                if (held_back := self._logs.allows("unknown")) is not None:
                    cause = {"node": f"{host}:{port}", "error": f"{type(error).__name__} {error}"}
                    logger.warning("a node does not tell the cluster's slots", extra=cause | {"held_back": held_back})
            else:
                placement: dict[Address, list[Instrument]] = defaultdict(list)
                for symbol, master in zip(symbols, masters, strict=True):
                    placement[master].append(symbol)
                return {master: tuple(symbols) for master, symbols in placement.items()}
        return None

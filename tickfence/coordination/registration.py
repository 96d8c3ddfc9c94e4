"""A node's place among the live: registered, kept alive by heartbeats, given up in order."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import redis.exceptions

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner
from tickfence.keys import Keys
from tickfence.redis_access.address import parse_cluster
from tickfence.redis_access.connect import connect
from tickfence.redis_access.errors import UNAVAILABLE, not_offered
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import Script

logger = logging.getLogger(__name__)


REGISTER = Script("coordination/lua/register.lua")
LEAVE = Script("coordination/lua/leave.lua")


class NodeIdInUse(RuntimeError):
    """Another live process has this node id; its text says which."""


class Registration:
    """Registers ``owner`` and keeps it registered from a thread of its own.

    The connection it uses is the node's sign of life: when the process dies, the kernel closes it, and the
    dispatcher sees it vanish from ``CLIENT LIST``. So the thread also watches it, and comes back with a new
    one as soon as it breaks.

    Parameters:
        url: the data plane.
        keys: the deployment's keys.
        details: further fields of the record (host, pid, metrics_url, weight, …).
        interval_ms: heartbeat, with 10 % jitter so that nodes do not beat in step.
        ttl_ms: silence after which others take this node for dead.
        clock: learns the server's time from every heartbeat.
        on_replaced: called once, from the thread, when another process has taken the node id over.
        on_heartbeat: called after every accepted heartbeat.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        owner: Owner,
        details: dict[str, str | int | float],
        *,
        interval_ms: int,
        ttl_ms: int,
        clock: ServerClock,
        on_replaced: Callable[[NodeIdInUse], None],
        on_heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self.owner = owner
        self.clock = clock
        self._url, self._keys, self._details = url, keys, details
        self._interval_ms, self._ttl_ms = interval_ms, ttl_ms
        self._on_replaced, self._on_heartbeat = on_replaced, on_heartbeat
        self._watched = parse_cluster(url) is None  # a cluster's connections end at several servers
        self._client: Any = None
        self._client_id = 0
        self._ended = threading.Event()
        self._announced = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="registration", daemon=True)

    def register(self) -> None:
        """Take the node id, then keep it from a thread. The node gets no symbols before :meth:`announce`.

        A process killed a moment ago still looks alive. It is replaced as soon as its connection is seen to be gone,
        or else when its heartbeats stay away for ``ttl_ms``.

        Raises:
            NodeIdInUse: another process has the id and goes on beating.
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        self._connect()
        first = reply = self._beat()
        deadline = time.monotonic() + 2 * self._ttl_ms / 1000
        while reply[0] == b"in use":
            beaten = reply[3] != first[3]
            if beaten or time.monotonic() > deadline:
                raise NodeIdInUse(self._in_use(reply))
            vanished = self._is_gone(reply[2])
            time.sleep(min(0.1, self._ttl_ms / 1000))
            again = self._beat()
            if vanished and again[:1] == [b"in use"] and again[2:4] == reply[2:4] and self._is_gone(again[2]):
                again = self._beat(gone=int(again[2]))
            reply = again
        self._client.zrem(self._keys.nodes, self.owner.node)  # an entry that is still there is our predecessor's
        self._thread.start()

    def announce(self) -> None:
        """Join the live nodes: from now on symbols are assigned to this one."""
        self._announced = True
        try:
            with connect(self._url, name=f"join:{self.owner.node}") as client:
                client.zadd(self._keys.nodes, {self.owner.node: self.clock.now_ms()})
        except UNAVAILABLE as error:
            logger.warning("joining with the next heartbeat: %s", error)

    def withdraw(self) -> None:
        """Get no symbols until :meth:`rejoin`: stay registered, and let the live nodes' entry run out."""
        self._announced = False

    def rejoin(self) -> None:
        """Join the live nodes again with the next heartbeat."""
        self._announced = True

    def leave(self) -> None:
        """Give the node id up and stop beating; the symbols move at once. Safe to call twice, never raises."""
        if self._ended.is_set():
            return
        self._ended.set()
        with self._lock:
            try:
                with connect(self._url, name=f"leave:{self.owner.node}") as client:
                    if LEAVE.run(client, [self._keys.node(self.owner.node)], [self.owner.incarnation]):
                        client.zrem(self._keys.nodes, self.owner.node)
            except UNAVAILABLE as error:
                # Nothing is lost: others will miss the heartbeat.
                logger.warning("could not leave in order: %s", error)

    def _keep(self) -> None:
        outage = Outage("the data plane", logger)
        while not self._ended.is_set():
            try:
                if self._client is None:
                    self._connect()
                with self._lock:
                    if self._ended.is_set():
                        return
                    reply = self._beat()
                if reply[0] == b"in use":
                    self._ended.set()
                    self._on_replaced(NodeIdInUse(self._in_use(reply)))
                    return
                self._on_heartbeat()
                outage.over()
                self._wait()
            except UNAVAILABLE as error:
                self._disconnect()
                if not self._ended.is_set():  # after the end, a server that goes away is no news
                    self._ended.wait(outage.failed(error))
        self._disconnect()

    def _wait(self) -> None:
        """Until the next heartbeat is due, or sooner when the connection breaks."""
        wait = self._interval_ms / 1000 * random.uniform(0.9, 1.1)
        if not self._watched:
            self._ended.wait(wait)
        elif self._client.connection.can_read(timeout=wait):
            # Nothing was asked, so what can be read is the end of the connection.
            raise redis.exceptions.ConnectionError("closed by the server")

    def _connect(self) -> None:
        self._client = connect(self._url, name=f"node:{self.owner.node}", dedicated=True)
        if self._watched:
            try:
                self._client_id = self._client.client_id()
            except redis.exceptions.ResponseError as error:
                if not not_offered(error):
                    raise
                logger.warning("no CLIENT ID here, so a kill is noticed by silence only: %s", error)
                self._watched, self._client_id = False, 0

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _beat(self, gone: int | None = None) -> list[Any]:
        record: list[str | int | float] = ["client_id", self._client_id]
        for field, value in self._details.items():
            record += [field, value]
        sent = time.monotonic()
        reply: list[Any] = REGISTER.run(
            self._client,
            [self._keys.node(self.owner.node)],
            [self.owner.incarnation, self._ttl_ms, "" if gone is None else gone, *record],
        )
        self.clock.observe(sent, time.monotonic(), int(reply[1]))
        if reply[0] == b"registered" and self._announced:
            self._client.zadd(self._keys.nodes, {self.owner.node: int(reply[1])})
        return reply

    def _is_gone(self, client_id: bytes) -> bool:
        if not self._watched:
            return False
        try:
            return client_id.isdigit() and not self._client.client_list(client_id=[int(client_id)])
        except redis.exceptions.ResponseError as error:
            if not not_offered(error):
                raise
            return False

    def _in_use(self, reply: list[Any]) -> str:
        host, pid = reply[4].decode(), reply[5].decode()
        return (
            f"node id {self.owner.node!r} is in use by a live worker (pid {pid} on {host}); "
            "give this one another queue (-Q) or NT_NODE_ID, or stop that one"
        )

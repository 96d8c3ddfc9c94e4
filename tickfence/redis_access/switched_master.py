"""A master that Sentinel has replaced: every connection to it ends at once, and new ones go to its successor.

In a planned switch (``SENTINEL FAILOVER``) the old master stays up. Sentinel makes it a replica some ten seconds later;
until then it accepts connections, and writes that are lost. But each Sentinel publishes the switch on ``+switch-master``
as soon as it knows of it: the one that did it at once, the others within two seconds.

Source: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

import redis
import redis.asyncio.sentinel
import redis.sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry

from tickfence.redis_access.address import Address
from tickfence.redis_access.outage import Backoff

logger = logging.getLogger(__name__)

CHANNEL = "+switch-master"
PING_EVERY_S = 5.0
"""A Sentinel that says nothing for this long is asked for a sign of life."""
BELIEVED_FOR_S = 10.0
"""For how long a switch outweighs what Sentinels say that have not heard of it."""


def parse_switch(message: str) -> tuple[str, Address, Address]:
    """Service, old and new master of a message on ``+switch-master``.

    Raises:
        ValueError: it does not look like one.

    Example:
        >>> parse_switch("mymaster 10.0.0.1 6379 10.0.0.2 6379")
        ('mymaster', ('10.0.0.1', 6379), ('10.0.0.2', 6379))
    """
    service, old_host, old_port, new_host, new_port = message.split(" ")
    return service, (old_host, int(old_port)), (new_host, int(new_port))


class Cuttable(Protocol):
    """A connection that another thread may end."""

    host: str
    port: int

    def cut(self) -> None:
        """End the connection: who waits for a reply is told so at once."""


class SwitchedMaster:
    """The switches of one service, and the open connections to its master. Thread-safe.

    Args:
        service: the master's name.
        sentinels: all of them are listened to: any may be down, or hear of a switch later than the others.
    """

    def __init__(self, service: str, sentinels: frozenset[Address]) -> None:
        self._service, self._sentinels = service, sentinels
        self._lock = threading.Lock()
        self._open: WeakSet[Cuttable] = WeakSet()
        self._successors: dict[Address, tuple[Address, float]] = {}  # with the time of the switch
        self._threads: dict[Address, threading.Thread] = {}

    def newest(self, address: Address) -> Address:
        """Where the master is now, if a Sentinel says that it is at ``address``."""
        with self._lock:
            successor, at = self._successors.get(address, (address, 0.0))
        return successor if time.monotonic() - at < BELIEVED_FOR_S else address

    def add(self, connection: Cuttable) -> bool:
        """Watch over an open connection; return False if its server has been replaced meanwhile."""
        self._listen()
        with self._lock:
            self._open.add(connection)
        return self.newest((connection.host, connection.port)) == (connection.host, connection.port)

    def switch(self, old: Address, new: Address) -> None:
        """Note that the master is at ``new``, and end the connections to ``old``."""
        with self._lock:
            known = self._successors.get(old, (old, 0.0))[0] == new
            self._successors.pop(new, None)
            self._successors[old] = new, time.monotonic()
            to_cut = [connection for connection in self._open if (connection.host, connection.port) == old]
        if not known:
            places = {"service": self._service, "old": "{}:{}".format(*old), "new": "{}:{}".format(*new)}
            logger.warning("Sentinel has replaced the master", extra=places | {"connections": len(to_cut)})
        for connection in to_cut:
            connection.cut()

    def _listen(self) -> None:
        """Start the threads, again in a process that was forked."""
        with self._lock:
            for sentinel in self._sentinels:
                thread = self._threads.get(sentinel)
                if thread is None or not thread.is_alive():
                    thread = threading.Thread(target=self._follow, args=(sentinel,), name="sentinel", daemon=True)
                    self._threads[sentinel] = thread
                    thread.start()

    def _follow(self, sentinel: Address) -> None:
        backoff = Backoff(base=0.1, cap=2.0)
        while True:
            with suppress(redis.RedisError, OSError, ValueError):  # the roles log that they cannot reach a Sentinel
                self._take_switches(sentinel, backoff)
            time.sleep(backoff.next_s())

    def _take_switches(self, sentinel: Address, backoff: Backoff) -> None:
        host, port = sentinel
        limits: dict[str, Any] = {"socket_timeout": 1, "socket_connect_timeout": 1, "retry": Retry(NoBackoff(), 0)}
        with redis.Redis(host=host, port=port, decode_responses=True, **limits) as client, client.pubsub() as pubsub:
            pubsub.subscribe(CHANNEL)
            asked = False
            while True:
                message = pubsub.get_message(timeout=PING_EVERY_S)
                if message is None:
                    if asked:
                        return  # silent: its host may be gone
                    pubsub.ping()
                elif message["type"] == "message":
                    service, old, new = parse_switch(message["data"])
                    if service == self._service:
                        self.switch(old, new)
                else:
                    backoff.reset()
                asked = message is None


_masters: dict[tuple[str, frozenset[Address]], SwitchedMaster] = {}
_masters_lock = threading.Lock()


def _master_of(pool: Any) -> SwitchedMaster:
    """The master that a pool of redis-py's Sentinel connects to."""
    places = (client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels)
    key = pool.service_name, frozenset((place["host"], int(place["port"])) for place in places)
    with _masters_lock:
        if key not in _masters:
            _masters[key] = SwitchedMaster(*key)
        return _masters[key]


class FollowingConnection(redis.sentinel.SentinelManagedConnection):
    """A connection to the master that Sentinel names, which ends when Sentinel replaces it."""

    def connect_to(self, address: Address) -> None:
        """Connect, if Sentinel says that the master is at ``address``."""
        master = _master_of(self.connection_pool)
        super().connect_to(master.newest(address))  # type: ignore[no-untyped-call]
        if not master.add(self):
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError("the master was replaced just now")

    def cut(self) -> None:
        """End the connection, from another thread."""
        _end(self._sock)


class FollowingAsyncConnection(redis.asyncio.sentinel.SentinelManagedConnection):
    """The same for asyncio."""

    async def connect_to(self, address: Address) -> None:
        """Connect, if Sentinel says that the master is at ``address``."""
        master = _master_of(self.connection_pool)
        await super().connect_to(master.newest(address))  # type: ignore[no-untyped-call]
        if not master.add(self):
            await self.disconnect(nowait=True)
            raise redis.ConnectionError("the master was replaced just now")

    def cut(self) -> None:
        """End the connection, from another thread."""
        writer: asyncio.StreamWriter | None = self._writer
        _end(None if writer is None else writer.get_extra_info("socket"))


def _end(sock: Any) -> None:
    """End a connection, but leave its descriptor to its user: closed here, its number could be another one's soon."""
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

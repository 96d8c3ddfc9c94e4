"""A node's registration among the live nodes: taken at the start, kept by heartbeats, given up in order."""

from __future__ import annotations

import logging
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from tickfence.coordination.clock import ServerClock
from tickfence.coordination.owner import Owner
from tickfence.keys import Group
from tickfence.redis_access.connect import connect, is_cluster
from tickfence.redis_access.errors import REDIS_ERRORS, ConnectionLost, ResponseError, not_offered
from tickfence.redis_access.outage import Outage
from tickfence.redis_access.scripts import Script

logger = logging.getLogger(__name__)

REGISTER = Script("coordination/lua/register.lua")
LEAVE = Script("coordination/lua/leave.lua")


class NodeIdInUse(RuntimeError):
    """Another live process has this node id; the text says which.

    Attributes:
        holder: its pid and host, like ``pid 7 on host-1``.
    """

    def __init__(self, text: str, holder: str) -> None:
        super().__init__(text)
        self.holder = holder


class _Holder(NamedTuple):
    """The live process that has the node id; see ``lua/register.lua``."""

    client_id: bytes
    heartbeat: bytes
    host: bytes
    pid: bytes


class Registration:
    """Registers ``owner`` and keeps it registered from its own thread.

    The thread's connection is the node's sign of life: when the process dies, the kernel closes it, and the dispatcher
    sees it vanish from ``CLIENT LIST``. So the thread also watches the connection, and opens a new one as soon as it
    breaks.

    Args:
        url: the data plane.
        group: the keys of the processes to register among: nodes, batch workers or recorders.
        owner: who to register.
        details: further fields of the record (host, pid, metrics_url, weight, …).
        interval_ms: time between two heartbeats; up to 10 % are added or subtracted, so that nodes do not keep step.
        ttl_ms: silence after which others judge this node to be dead.
        clock: learns the server's time from every heartbeat.
        on_replaced: called once, from the thread, when another process has taken the node id.
        on_heartbeat: called from the thread after every accepted heartbeat.
        status: further fields that change while the node works (progress, working, probe, drained); called for each
            heartbeat, from the thread.
    """

    def __init__(
        self,
        url: str,
        group: Group,
        owner: Owner,
        details: Mapping[str, str | int | float],
        *,
        interval_ms: int,
        ttl_ms: int,
        clock: ServerClock,
        on_replaced: Callable[[NodeIdInUse], None],
        on_heartbeat: Callable[[], None] = lambda: None,
        status: Callable[[], Mapping[str, str | int]] = dict,
    ) -> None:
        self.owner = owner
        self.clock = clock
        self._url, self._group, self._details = url, group, details
        self._interval_ms, self._ttl_ms = interval_ms, ttl_ms
        self._on_replaced, self._on_heartbeat, self._status = on_replaced, on_heartbeat, status
        self._watched = True
        self._connection: Any = None  # the sign of life
        self._client_of = ""
        self._client: Any = None
        self._client_id = 0
        # No events: a signal handler that sets one waits for ever if it interrupts its own thread in the middle of that.
        self._ended = self._hurried = False
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._announced = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="registration", daemon=True)

    def register(self) -> None:
        """Take the node id and start the thread. The node gets no symbols before :meth:`announce`.

        If another process has the id, this waits until that process proves to be alive by a heartbeat, or to be dead:
        its connection is gone, or it is silent for ``ttl_ms``.

        Raises:
            NodeIdInUse: another live process has the id.
            redis.exceptions.RedisError: Redis cannot be reached.
            redis.exceptions.RedisClusterException: no node of a Redis Cluster can be reached.
        """
        self._connect()
        holder = self._heartbeat()
        first_heartbeat = holder and holder.heartbeat
        deadline = time.monotonic() + 2 * self._ttl_ms / 1000
        while holder is not None:
            if holder.heartbeat != first_heartbeat or time.monotonic() > deadline:
                raise self._in_use(holder)
            gone = self._is_gone(holder)
            time.sleep(min(0.1, self._ttl_ms / 1000))
            again = self._heartbeat()
            if gone and again == holder and self._is_gone(again):
                again = self._heartbeat(gone=again.client_id)
            holder = again
        self._client.zrem(self._group.live, self.owner.node)  # an entry that is there belongs to the process before
        self._thread.start()

    def announce(self) -> None:
        """Join the live nodes: from now on symbols are assigned to this one. Never raises."""
        self._announced = True
        try:
            with connect(self._url, name=f"join:{self.owner.node}") as client:
                client.zadd(self._group.live, {self.owner.node: self.clock.now_ms()})
        except REDIS_ERRORS as error:
            logger.warning("joining with the next heartbeat: %s", error)

    def withdraw(self) -> None:
        """Get no symbols until :meth:`rejoin`: stay registered, but let the entry among the live nodes run out."""
        self._announced = False

    def rejoin(self) -> None:
        """Join the live nodes again with the next heartbeat."""
        self._announced = True

    def hurry(self) -> None:
        """Make the next heartbeat at once: the status has changed in a way that others wait for. Never waits."""
        self._hurried = True
        self._wake()

    def leave(self) -> None:
        """Give the node id up and end the heartbeats; the symbols move at once. Safe to call twice, never raises."""
        if self._ended:
            return
        self._ended = True
        self._wake()
        with self._lock:
            try:
                with connect(self._url, name=f"leave:{self.owner.node}") as client:
                    if LEAVE.run(client, [self._group.record(self.owner.node)], [self.owner.incarnation]):
                        client.zrem(self._group.live, self.owner.node)
            except REDIS_ERRORS as error:
                # Nothing is lost: others will miss the heartbeat.
                logger.warning("could not leave in order: %s", error)

    def _run(self) -> None:
        outage = Outage("the data plane", logger)
        while not self._ended:
            try:
                if self._client is None:
                    self._connect()
                with self._lock:
                    if self._ended:
                        return
                    holder = self._heartbeat()
                if holder is not None:
                    self._ended = True
                    self._on_replaced(self._in_use(holder))
                    return
                self._on_heartbeat()
                outage.over()
                self._wait()
            except REDIS_ERRORS as error:
                self._disconnect()
                if not self._ended:  # after the end it does not matter that the server goes away
                    time.sleep(outage.failed(error))
        self._disconnect()

    def _wait(self) -> None:
        """Wait until the next heartbeat is due.

        Raises:
            redis.exceptions.ConnectionError: the connection broke meanwhile.
        """
        due = time.monotonic() + self._interval_ms / 1000 * random.uniform(0.9, 1.1)
        connection = self._connection if self._watched else None
        signs = select.poll()
        signs.register(self._woken, select.POLLIN)
        if connection is not None:
            signs.register(connection._sock, select.POLLIN)
        while not (self._ended or self._hurried) and (left := due - time.monotonic()) > 0:
            signs.poll(left * 1000)
            if connection is not None and connection.can_read(timeout=0):
                # No reply is due, so what can be read is the end of the connection.
                raise ConnectionLost("closed by the server")
        self._hurried = False
        with suppress(BlockingIOError):
            self._woken.recv(64)

    def _wake(self) -> None:
        """End the thread's wait. Safe to call from a signal handler."""
        with suppress(BlockingIOError):  # so it is about to wake already
            self._waker.send(b"!")

    def _connect(self) -> None:
        self._client = connect(self._url, name=f"node:{self.owner.node}", dedicated=True)
        if self._watched:
            self._show_connection()

    def _show_connection(self) -> None:
        """Choose the connection that is the sign of life. On a Redis Cluster it leads to the master of the live nodes."""
        server, self._connection, self._client_of = self._client, None, ""
        if is_cluster(self._client):
            master = self._client.get_node_from_key(self._group.live)
            server, self._client_of = self._client.get_redis_connection(master), master.name
        try:
            self._connection = server.connection or server.connection_pool.get_connection()
            self._connection.send_command("CLIENT", "ID")
            self._client_id = self._connection.read_response()
        except ResponseError as error:
            if not not_offered(error):
                raise
            logger.warning("no CLIENT ID here, so a kill is noticed by silence only: %s", error)
            self._watched, self._client_id = False, 0

    def _disconnect(self) -> None:
        if self._client is not None:
            if self._connection is not None:
                self._connection.disconnect()
            self._client.close()
            self._client = None

    def _heartbeat(self, gone: bytes = b"") -> _Holder | None:
        """Register, or renew the registration; return the live process that has the id, or ``None`` if it is ours.

        Args:
            gone: client id of a holder whose connection is gone.
        """
        fields = {
            "client_id": self._client_id,
            "client_of": self._client_of,
            **self._details,
            "status_of": self.owner.incarnation,
            **self._status(),
        }
        record = [part for field in fields.items() for part in field]
        sent_at = time.monotonic()
        outcome, server_ms, *holder = REGISTER.run(
            self._client,
            [self._group.record(self.owner.node)],
            [self.owner.incarnation, self._ttl_ms, gone, *record],
        )
        self.clock.observe(sent_at, time.monotonic(), int(server_ms))
        if outcome == b"in use":
            return _Holder(*holder)
        if self._announced:
            self._client.zadd(self._group.live, {self.owner.node: int(server_ms)})
        return None

    def _is_gone(self, holder: _Holder) -> bool:
        """Whether the holder's connection is not in ``CLIENT LIST``."""
        if not self._watched or is_cluster(self._client) or not holder.client_id.isdigit():
            return False
        try:
            return not self._client.client_list(client_id=[int(holder.client_id)])
        except ResponseError as error:
            if not not_offered(error):
                raise
            return False

    def _in_use(self, holder: _Holder) -> NodeIdInUse:
        at = f"pid {holder.pid.decode()} on {holder.host.decode()}"
        return NodeIdInUse(
            f"node id {self.owner.node!r} is in use by a live worker ({at}); "
            "give this one another queue (-Q) or NT_NODE_ID, or stop that one",
            at,
        )

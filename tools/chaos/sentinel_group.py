"""Watches and controls a Sentinel group: its master, its replica, their promotion and recovery."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.local import ports
from tools.local.sentinel import SENTINELS, SERVICE, SentinelPorts

_PROMOTION_S = 30.0
_COMPLETE_S = 60.0
_POLL_S = 0.003
_SLOW_POLL_S = 0.1


T = TypeVar("T")


class SentinelGroup:
    """A running group; its servers are named by their roles.

    Every command has its own connection, because a failover cuts all connections.

    Args:
        where: the ports of the group.

    Raises:
        TimeoutError: from every method that waits, if what it waits for does not happen.
    """

    def __init__(self, where: SentinelPorts) -> None:
        self.where = where

    def master(self) -> str:
        """The server that Sentinel names as the master and that is one by its own account."""
        return self._await(self._agreed_master, _PROMOTION_S, "the Sentinels name no server that is a master")

    def replica(self) -> str:
        """The server that is not the master."""
        master = self.master()
        return next(name for name in self.where.servers if name != master)

    def await_promotion(self, name: str) -> float:
        """Wait until a server is a master by its own account; returns when it was (Unix time, s)."""
        what = f"{name} was not promoted"
        self._await(lambda: self._role(name)[:1] == [b"master"] or None, _PROMOTION_S, what, _POLL_S)
        return time.time()

    def await_complete(self) -> None:
        """Wait until the replica follows the master and every Sentinel is ready for the next failover."""
        what = "the Sentinel group is not complete"
        self._await(lambda: self._complete() or None, _COMPLETE_S, what)

    def cut_off(self, name: str) -> None:
        """Make a replica miss the writes of its master from now on. Sentinel ignores that for some seconds."""
        nowhere = ports.pick(taken=[*self.where.servers.values(), *self.where.sentinels.values()])
        self._ask(self.where.servers[name], "REPLICAOF", ports.LOOPBACK, str(nowhere))

    def switch(self) -> float:
        """Make Sentinel promote the replica of a healthy master; returns when it was asked (Unix time, s)."""
        at = time.time()
        self._ask(self.where.sentinels[SENTINELS[0]], "SENTINEL", "FAILOVER", SERVICE)
        return at

    def _agreed_master(self) -> str | None:
        for port in self.where.sentinels.values():
            with contextlib.suppress(redis.RedisError):
                address = self._ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                for name, server in self.where.servers.items():
                    if address and int(address[1]) == server and self._role(name)[:1] == [b"master"]:
                        return name
        return None

    def _complete(self) -> bool:
        master = self._agreed_master()
        replica = next((name for name in self.where.servers if name != master), "")
        if master is None:
            return False
        role = self._role(replica)
        if role[:1] != [b"slave"] or role[2] != self.where.servers[master] or role[3] != b"connected":
            return False
        return all(self._ready(port, self.where.servers[master]) for port in self.where.sentinels.values())

    def _ready(self, sentinel: int, master: int) -> bool:
        try:
            known = _pairs(self._ask(sentinel, "SENTINEL", "MASTER", SERVICE))
            replicas = [_pairs(one) for one in self._ask(sentinel, "SENTINEL", "SLAVES", SERVICE)]
        except redis.RedisError:
            return False
        return (
            int(known["port"]) == master
            and known["flags"] == "master"
            and int(known["num-other-sentinels"]) == len(self.where.sentinels) - 1
            and [(one["flags"], one["master-link-status"]) for one in replicas] == [("slave", "ok")]
        )

    def _role(self, name: str) -> list[Any]:
        """A server's reply to ``ROLE``; empty if it does not answer."""
        try:
            return list(self._ask(self.where.servers[name], "ROLE"))
        except redis.RedisError:
            return []

    @staticmethod
    def _ask(port: int, *command: str) -> Any:
        options: dict[str, Any] = {"socket_timeout": 1, "retry": Retry(NoBackoff(), 0), "protocol": 2}
        with redis.Redis(host=ports.LOOPBACK, port=port, client_name="chaos:failover", **options) as client:
            client.response_callbacks.clear()  # raw replies of Sentinel, in all versions of redis-py
            return client.execute_command(*command)

    @staticmethod
    def _await(check: Callable[[], T | None], timeout_s: float, what: str, every_s: float = _SLOW_POLL_S) -> T:
        deadline = time.monotonic() + timeout_s
        while (found := check()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} within {timeout_s:g} s")
            time.sleep(every_s)
        return found


def _pairs(flat: list[bytes]) -> dict[str, str]:
    texts = [text.decode() for text in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))

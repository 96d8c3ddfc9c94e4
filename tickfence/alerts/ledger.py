"""The firings, as Redis keeps them under a fenced lease: only its owner changes them, and sends.

Why no message is sent twice. An attempt is recorded, under the fence, before it is made. Two instances cannot both
record the same one: the second has lost the lease, or reads the record before it writes. What the next owner finds in the
state `sending` was perhaps sent, so it is not sent again. What it finds `waiting` was surely not accepted.

Redis may lose the records, or the newest of them. If nobody else has written since, the owner's own memory is as good,
and is written back. An instance that finds no records, although another one was the owner, is not ready. For a while it
leaves the lease to that owner (:class:`~tickfence.coordination.standby_lease.StandbyLease`). A firing is told twice only if
Redis loses its data and the owner dies before it has written them back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection
from typing import Any

import msgspec

from tickfence.alerts.firing import Firing, State
from tickfence.coordination.standby_lease import StandbyLease
from tickfence.keys import Keys
from tickfence.monitoring import alerts_metrics as metrics
from tickfence.redis_access.command import Command, checked
from tickfence.redis_access.scripts import send

logger = logging.getLogger(__name__)

_TOKEN = b"token"
_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.Decoder(Firing).decode


class Ledger:
    """The records, of which one process at a time is the owner. It blocks while Redis answers.

    Args:
        client: the data plane.
        keys: of the deployment.
        owner: this process start; no other has the same.
        ttl_ms: how long the lease lasts from each renewal.
        again: targets that may get a message twice.

    Attributes:
        firings: by their ids. They are true while :meth:`hold` says so; change them and :meth:`write`.
    """

    def __init__(self, client: Any, keys: Keys, owner: str, ttl_ms: int, again: Collection[str] = ()) -> None:
        self.firings: dict[str, Firing] = {}
        self._client, self._key, self._again = client, keys.alerts, again
        self._lease = StandbyLease(keys.alerts_lease, owner, ttl_ms)
        self._patience_s = 2 * ttl_ms / 1000  # an owner that lives asks several times meanwhile
        self._patient_until_s = 0.0
        self._wrote = self._read = 0  # tokens

    def hold(self, now_s: float) -> bool:
        """Ask for the lease, or renew it, where that is due; return whether this process has it.

        Args:
            now_s: monotonic seconds.

        Raises:
            redis.exceptions.RedisError: no answer.
        """
        lease = self._lease
        if lease.due(now_s):
            try:
                reply = self._call(lease.ask(ready=self._wrote > 0))
            except Exception:
                lease.on_no_reply(now_s)
                raise
            lease.on_reply(reply, now_s)
            if not lease.token:  # another has it, and knows better
                self.firings, self._wrote, self._patient_until_s = {}, 0, math.inf
        if lease.token and self._read != lease.token:
            self._load(now_s)
        return 0 < lease.token == self._read

    def write(self, changed: Collection[Firing], now_s: float) -> bool:
        """Record firings as they are now, and forget those that are over; return whether that was done.

        Raises:
            redis.exceptions.RedisError: no answer: it may have been done.
        """
        token, over = self._lease.token, [firing.id for firing in changed if firing.over]
        # One command for each: Lua takes some thousand arguments at most.
        commands: list[tuple[int, Command]] = [(0, ("HSET", _TOKEN, token))]
        commands += [(0, ("HSET", firing.id, _encode(firing))) for firing in changed if not firing.over]
        commands += [(0, ("HDEL", name)) for name in over]
        reply = self._call(self._lease.fenced([self._key], commands, ready=True))
        replies = self._lease.on_fenced(token, reply, now_s)
        if replies is None:
            return False
        for each in replies:
            checked(each)
        self._wrote = token
        for name in over:
            self.firings.pop(name, None)
        return True

    def give_back(self) -> None:
        """Give the lease back, if this process has it."""
        send(self._client, [self._lease.release()])
        self._lease.on_released()

    def _load(self, now_s: float) -> None:
        """Find out what happened before this process got the lease."""
        token = self._lease.token
        reply = self._call(("HGETALL", self._key))
        fields = dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else reply
        wrote = int(fields.pop(_TOKEN, 0))
        if not wrote and not self._wrote and now_s < self._patient_until_s:
            self._patient_until_s = min(self._patient_until_s, now_s + self._patience_s)
            return
        if wrote and wrote != self._wrote:
            self.firings = {}
            for name, record in fields.items():
                try:
                    firing = self.firings[name.decode()] = _decode(record)
                except msgspec.DecodeError as error:
                    logger.error("the record of an alert cannot be read: %s", error, extra={"alert": name.decode()})
                else:
                    self._doubt(firing)
        if self.write(self.firings.values(), now_s):
            self._read = token

    def _call(self, command: Command) -> Any:
        try:
            [reply] = send(self._client, [command])
        except Exception:
            self._read = 0  # another server may be the master by now, without the newest records
            raise
        return reply

    def _doubt(self, firing: Firing) -> None:
        """Take what another process has begun to send as perhaps sent."""
        for message in firing.messages:
            if message.state is not State.SENDING:
                continue
            if message.target in self._again:
                message.state = State.WAITING
                continue
            message.state = State.UNKNOWN
            metrics.lost.labels("unknown").inc()
            extra = {"alert": firing.id, "target": message.target, "attempts": message.attempts}
            logger.error("an alert is not sent again: its sender ended while it was under way", extra=extra)

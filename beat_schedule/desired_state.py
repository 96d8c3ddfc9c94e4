"""The desired state, as a beat follows it: it seeds it, writes it back where Redis has lost it, and never fights over it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from tickfence.coordination.desired import Desired, seed
from tickfence.coordination.desired_store import read_desired, seed_desired, write_back
from tickfence.instrument import Instrument
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.monitoring.log_limit import LogLimit
from tickfence.redis_access.errors import ResponseError, cannot_serve
from tickfence.settings import Settings

logger = logging.getLogger(__name__)

UNREADABLE_AGAIN_S = 1.0
SAY_EVERY_S = 60.0


class DesiredState:
    """What one beat knows of the desired state.

    The stored state wins over ``SYMBOLS``, which only seeds it. A state that Redis has lost, or an older one, is
    replaced by the one that the leader followed. A stand-by follows too, and writes nothing.

    Args:
        settings: of the process.
        name: of the beat; a seed is by it.

    Attributes:
        followed: the state that this beat follows; of version 0 before it has read or seeded one.
        symbols: its active symbols, sorted.
        removed: the symbols that were removed lately -> when, server ms.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.followed: Desired
        self.symbols: tuple[Instrument, ...]
        self.removed: Mapping[Instrument, int]
        self._reports_a_second = 1000 / settings.nt_report_period_ms if settings.nt_enable_kv_reports else 0.0
        self._take(seed(settings.symbols))
        self._keys, self._name = settings.keys, name
        self._symbols = frozenset(settings.symbols)
        self._unreadable_until = 0.0
        self._says = LogLimit(SAY_EVERY_S)

    def follow(self, client: Any, stored: int, *, leading: bool) -> bool:
        """Follow what is stored, and have it stored if it is not.

        Args:
            client: the data plane.
            stored: the version that is stored, as :func:`tickfence.coordination.desired_store.parse_version` gives it.
            leading: whether this beat leads.

        Returns:
            Whether another state is followed than before.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: Redis cannot be reached.
        """
        if stored == self.followed.version > 0 or time.monotonic() < self._unreadable_until:
            return False
        if 0 <= stored < self.followed.version or stored == 0:
            if leading:
                self._store(client)
            return leading and self._read(client)
        return self._read(client)

    def _take(self, desired: Desired) -> None:
        # These are asked for in every poll.
        self.followed, self.symbols, self.removed = desired, desired.active, desired.removed
        # By stand-bys, too: the alert compares the most that a beat expects with what is written.
        metrics.reports_due.set(len(self.symbols) * self._reports_a_second)

    def _store(self, client: Any) -> None:
        if self.followed.version:
            logger.warning("the desired state is lost, writing it back", extra={"version": self.followed.version})
            write_back(client, self._keys, self.followed)
        else:
            seed_desired(client, self._keys, self.followed, self._name)

    def _read(self, client: Any) -> bool:
        try:
            found = read_desired(client, self._keys)
        except (ValueError, ResponseError) as error:
            if cannot_serve(error):
                raise
            # What is followed goes on; an operator must mend the key.
            self._unreadable_until = time.monotonic() + UNREADABLE_AGAIN_S
            metrics.desired_unreadable.inc()
            if (held_back := self._says.allows("unreadable")) is not None:
                extra = {"key": self._keys.desired, "error": str(error), "held_back": held_back}
                logger.error("the desired state cannot be read, so the one before stays in force", extra=extra)
            return False
        if found is None or found.version <= self.followed.version:
            return False
        first = not self.followed.version
        self._take(found)
        logger.info("following the desired state", extra={"version": found.version, "symbols": len(found.active)})
        if first and self._symbols != frozenset(found.listed):
            only_here = sorted(self._symbols - frozenset(found.listed))
            only_there = sorted(frozenset(found.listed) - self._symbols)
            extra = {"only_in_SYMBOLS": only_here[:10], "only_stored": only_there[:10]}
            logger.warning(
                "SYMBOLS differs from the stored symbols, which are followed: it only seeds them", extra=extra
            )
        return True

"""Which symbols to record: those that operators have asked for, and ``SYMBOLS`` until they have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from tickfence.coordination.desired import parse_desired
from tickfence.coordination.desired_store import parse_version, version_command
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring.log_limit import LogLimit

logger = logging.getLogger(__name__)


class FollowedSymbols:
    """Follows the desired state.

    What cannot be read, or is lost or older than what is followed, changes nothing: the leading beat writes it back.

    Args:
        keys: of the deployment.
        seed: symbols to follow while nothing is stored.

    Attributes:
        symbols: to record now.
    """

    def __init__(self, keys: Keys, seed: Sequence[Instrument]) -> None:
        self.symbols = tuple(seed)
        self._keys = keys
        self._version = 0
        self._log = LogLimit(60.0)

    def look(self, client: Any) -> None:
        """Take over what has changed.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached.
        """
        version = parse_version(client.execute_command(*version_command(self._keys)))
        if 0 <= version <= self._version:
            return
        try:
            desired = parse_desired(client.hgetall(self._keys.desired))
        except ValueError as error:
            if self._log.allows("unread") is not None:
                extra = {"error": str(error)}
                logger.warning("cannot read which symbols are desired; those that are recorded stay", extra=extra)
            return
        if desired is not None and desired.version > self._version:
            self._version, self.symbols = desired.version, desired.listed

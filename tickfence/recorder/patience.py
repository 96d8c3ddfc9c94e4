"""When a recorder takes a source that it did not have. No I/O.

Redis may come back without its last seconds, or empty. It then names recorders and positions of before. Those that had the
sources know better: each takes back what it had, with the positions of its own log, before anybody takes what is
another's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

SETTLE_S = 2.0
"""After Redis was away, or has lost data, a recorder takes only what it had, for so long."""
LONGEST_WAIT_S = 10.0
"""By then it takes what is its share in any case: diffs live 15 s."""


class Patience:
    """What a recorder wants of its share.

    Args:
        ttl_s: silence after which a recorder is dead. A share that others are back for by then is not taken.

    Example:
        >>> patience = Patience(ttl_s=1.0)
        >>> patience.wanted({"BTCUSDT"}, owns=lambda _: False, now_s=10.0)
        frozenset()
        >>> patience.wanted({"BTCUSDT"}, owns=lambda _: False, now_s=11.0)
        frozenset({'BTCUSDT'})
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._since: dict[str, float] = {}
        self._settled_at = 0.0

    def disturbed(self, now_s: float) -> None:
        """Redis was away, or has lost data."""
        self._settled_at = now_s + SETTLE_S

    def wanted(self, share: Collection[str], owns: Callable[[str], bool], now_s: float) -> frozenset[str]:
        """Return what to have now.

        Args:
            share: what rendezvous hashing gives it.
            owns: whether this recorder was the last to have a source, as far as it knows.
            now_s: monotonic seconds.
        """
        self._since = {name: self._since.get(name, now_s) for name in share}
        return frozenset(name for name in share if owns(name) or self._may_take(now_s - self._since[name], now_s))

    def _may_take(self, waited_s: float, now_s: float) -> bool:
        return waited_s >= LONGEST_WAIT_S or (waited_s >= self._ttl_s and now_s >= self._settled_at)

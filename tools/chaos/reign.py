"""Which of several servers is the master, told from what each one shows. No I/O."""

from __future__ import annotations


class Reign:
    """Follows the mastership over a group of servers.

    A replica refuses its clients' writes, so one that accepts them was promoted. The one that was the master before
    counts no more, whatever it still accepts, until it has been seen to replicate: what it accepts is lost when it
    becomes a replica.

    Example:
        >>> reign = Reign()
        >>> reign.accepted("a"), reign.replicated("b"), reign.accepted("b"), reign.accepted("a")
        (True, None, True, False)
    """

    def __init__(self) -> None:
        self._master = ""
        self._replicas: set[str] = set()

    def replicated(self, server: str) -> None:
        """``server`` did what its master told it."""
        if server != self._master:
            self._replicas.add(server)

    def promoted(self, server: str) -> None:
        """``server`` is the master from now on."""
        self._master = server
        self._replicas.discard(server)

    def accepted(self, server: str) -> bool:
        """``server`` did what a client told it; whether that counts."""
        if not self._master or server in self._replicas:
            self.promoted(server)
        return server == self._master

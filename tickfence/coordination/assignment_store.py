"""The assignment in Redis: written by the leader, read by a new leader and by whoever wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickfence.coordination.keys import ASSIGNMENT
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.redis_access.scripts import Script

PUBLISH_ASSIGNMENT = Script("coordination/lua/publish_assignment.lua")


class Deposed(RuntimeError):
    """A dispatcher of a newer term has written the assignment.

    Attributes:
        newer: that term.
    """

    def __init__(self, term: int, newer: int) -> None:
        super().__init__(f"term {term} is over: the assignment is written by term {newer}")
        self.newer = newer


class StoredAssignment(NamedTuple):
    """What ``nt:assignment`` holds; generation 0 and no owner when there is none."""

    term: int
    generation: int
    owners: dict[Instrument, Owner]


def read_assignment(client: Any) -> StoredAssignment:
    return parse_assignment(client.hgetall(ASSIGNMENT))


def parse_assignment(found: Mapping[bytes, bytes]) -> StoredAssignment:
    """From the reply to ``HGETALL nt:assignment``."""
    fields = {k.decode(): v.decode() for k, v in found.items()}
    term, generation = int(fields.pop("term", 0)), int(fields.pop("generation", 0))
    return StoredAssignment(
        term, generation, {Instrument(symbol): Owner.parse(text) for symbol, text in fields.items()}
    )


def publish_assignment(client: Any, term: int, generation: int, owners: Mapping[Instrument, Owner]) -> int:
    """Replace the assignment; return its generation, above ``generation`` and above the recorded one.

    Raises:
        Deposed: a newer leader has written meanwhile; nothing changed.
    """
    arguments: list[str | int] = [term, generation]
    for symbol, owner in owners.items():
        arguments += [symbol, str(owner)]
    accepted, number = PUBLISH_ASSIGNMENT.run(client, [ASSIGNMENT], arguments)  # type: ignore[arg-type]
    if not accepted:
        raise Deposed(term, int(number))
    return int(number)

"""The assignment in Redis: the leader writes it; a new leader and every reader read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.redis_access.scripts import Script

PUBLISH_ASSIGNMENT = Script("coordination/lua/publish_assignment.lua")
CHANGED_SINCE = 2
"""What the script replies if another assignment is recorded than the one to change."""


class Deposed(RuntimeError):
    """A dispatcher of a newer term has written the assignment.

    Attributes:
        newer: that term.
    """

    def __init__(self, term: int, newer: int) -> None:
        super().__init__(f"term {term} is over: the assignment is written by term {newer}")
        self.newer = newer


class StoredAssignment(NamedTuple):
    """What ``nt:assignment`` holds; generation 0 and no owner when there is none.

    Attributes:
        term: of the leader that wrote it.
        generation: its number; only grows.
        owners: symbol -> owner.
    """

    term: int
    generation: int
    owners: dict[Instrument, Owner]


def read_assignment(client: Any, keys: Keys) -> StoredAssignment:
    """Read the assignment.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
        ValueError: the hash is not an assignment.
    """
    return parse_assignment(client.hgetall(keys.assignment))


def parse_assignment(found: Mapping[bytes, bytes]) -> StoredAssignment:
    """The assignment, from the reply to ``HGETALL nt:assignment``.

    Raises:
        ValueError: the hash is not an assignment.
    """
    fields = {k.decode(): v.decode() for k, v in found.items()}
    term, generation = int(fields.pop("term", 0)), int(fields.pop("generation", 0))
    return StoredAssignment(
        term, generation, {Instrument(symbol): Owner.parse(text) for symbol, text in fields.items()}
    )


def publish_assignment(
    client: Any,
    keys: Keys,
    term: int,
    published: StoredAssignment,
    owners: Mapping[Instrument, Owner],
) -> StoredAssignment:
    """Publish the assignment: what changed of it, or all if that is not possible.

    Args:
        client: the data plane.
        keys: the deployment's keys.
        term: the caller's.
        published: what the caller last published or read; its generation is the highest one that the caller has seen.
        owners: symbol -> owner, for every symbol.

    Returns:
        What is published now. Its generation is above that of ``published`` and above the recorded one.

    Raises:
        Deposed: a newer leader has written meanwhile; nothing changed.
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
    """
    before = published.owners
    changes = {symbol: str(owner) for symbol, owner in owners.items() if before.get(symbol) != owner}
    changes |= dict.fromkeys(before.keys() - owners.keys(), "")
    accepted, number = _publish(client, keys, term, published.generation, changes, changes_only=True)
    if accepted == CHANGED_SINCE:
        placed = {symbol: str(owner) for symbol, owner in owners.items()}
        accepted, number = _publish(client, keys, term, published.generation, placed, changes_only=False)
    if not accepted:
        raise Deposed(term, number)
    return StoredAssignment(term, number, dict(owners))


def _publish(
    client: Any, keys: Keys, term: int, generation: int, placed: Mapping[Instrument, str], *, changes_only: bool
) -> tuple[int, int]:
    flat = [text for pair in placed.items() for text in pair]
    only = "1" if changes_only else ""
    accepted, number = PUBLISH_ASSIGNMENT.run(client, [keys.assignment], [term, generation, only, *flat])
    return int(accepted), int(number)

"""The desired state in Redis: operators change it, the leader seeds it and writes it back, everybody reads it."""

from __future__ import annotations

from typing import Any

from tickfence.coordination.desired import KEPT_CHANGES, Desired, fields, parse_desired
from tickfence.keys import Keys
from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import Script

REPLACE = Script("coordination/lua/replace_desired.lua")


def version_command(keys: Keys) -> Command:
    """The command that followers poll with. Its reply is for :func:`parse_version`."""
    return ("HGET", keys.desired, "version")


def parse_version(reply: Any) -> int:
    """The stored version; 0 if nothing is stored, -1 if that is no number, so that reading the state tells why."""
    if reply is None:
        return 0
    try:
        return int(reply)
    except (TypeError, ValueError):
        return -1


def read_desired(client: Any, keys: Keys) -> Desired | None:
    """Read the desired state; ``None`` if nothing is stored.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
        ValueError: the hash is not a desired state.
    """
    return parse_desired(client.hgetall(keys.desired))


def replace_desired(client: Any, keys: Keys, old_version: int, new: Desired, by: str, what: str) -> Desired | None:
    """Make one change of the desired state.

    Args:
        client: the data plane.
        keys: the deployment's keys.
        old_version: of the state that the change was computed from.
        new: the state that follows from it.
        by: who makes the change.
        what: what the change is.

    Returns:
        The state as it is stored now, or ``None`` if somebody else has changed it meanwhile: read it again.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or refuses.
        ValueError: another change has replaced it at once by something that is no desired state.
    """
    if not by:
        raise ValueError("by must say who makes the change")
    accepted, _ = _replace(client, keys, old_version, old_version + 1, new, by, what)
    return read_desired(client, keys) if accepted else None


def seed_desired(client: Any, keys: Keys, new: Desired, by: str) -> None:
    """Store the state that a deployment begins with, if nothing is stored.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
    """
    _replace(client, keys, 0, 1, new, by, f"symbols seed ({len(new.listed)})")


def write_back(client: Any, keys: Keys, followed: Desired) -> None:
    """Store a state that Redis has lost, with its version, unless the same or a newer one is stored.

    Raises:
        redis.exceptions.RedisError: Redis cannot be reached, or the key is not a hash.
    """
    stored = max(parse_version(client.execute_command(*version_command(keys))), 0)
    if stored < followed.version:
        _replace(client, keys, stored, followed.version, followed, "", "")


def _replace(
    client: Any, keys: Keys, old_version: int, least: int, new: Desired, by: str, what: str
) -> tuple[bool, int]:
    flat = [text for pair in fields(new).items() for text in pair]
    accepted, version = REPLACE.run(client, [keys.desired], [old_version, least, by, what, KEPT_CHANGES, *flat])
    return bool(accepted), int(version)

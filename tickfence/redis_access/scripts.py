"""Lua scripts, run by their SHA1: their source is sent only to a server that does not know them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

from tickfence.redis_access.command import Command, checked
from tickfence.redis_access.raw_pipeline import exchange

_PACKAGE = Path(__file__).parents[1]
_loaded: dict[str, Script] = {}

Argument = str | bytes | int | float


class Script:
    """One script. The header of its file names every key and argument.

    Args:
        paths: its file, relative to the package ``tickfence``; before it, files with functions that it uses.

    Example:
        >>> [reply] = send(client, [ACQUIRE.command([lease_key], [owner, node, generation, ttl_ms, token])])
    """

    def __init__(self, *paths: str) -> None:
        self.source = "".join((_PACKAGE / path).read_text(encoding="utf-8") for path in paths)
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        _loaded[self.sha] = self

    def command(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Command:
        """One call, to be sent by :func:`send`."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def run(self, client: Any, keys: list[str], arguments: list[Argument]) -> Any:
        """Call it once, and return its reply.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: the call failed.
        """
        # Not by a pipeline: that would not take the one connection of a dedicated client.
        command = self.command(keys, arguments)
        try:
            return client.execute_command(*command)
        except NoScriptError:
            return client.execute_command(*with_source(command))


def send(client: Any, commands: Sequence[Command], *, raise_errors: bool = True) -> list[Any]:
    """Send reads and script calls in one pipeline; return their replies in order.

    A restarted Redis has forgotten its scripts. Then everything is sent again, with their source. That is safe: a call
    of an unknown script does nothing, and every script may be called twice with the same arguments.

    Args:
        client: a blocking one.
        commands: of reads and scripts; see :func:`tickfence.redis_access.raw_pipeline.exchange`.
        raise_errors: raise the first error among the replies. Otherwise it stands in its reply's place.

    Raises:
        redis.exceptions.RedisError, redis.exceptions.RedisClusterException: the connection failed, or a command.
    """
    replies = exchange(client, commands)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        replies = exchange(client, map(with_source, commands))
    return list(map(checked, replies)) if raise_errors else replies


def with_source(command: Command) -> Command:
    """The same command for a server that may not know its script: a call by SHA1 becomes one by the source."""
    return ("EVAL", _loaded[command[1]].source, *command[2:]) if command[0] == "EVALSHA" else command

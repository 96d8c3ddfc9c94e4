"""Lua scripts, run by their SHA1: their source is sent only to a server that does not know them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.cluster import ClusterPipeline
from redis.exceptions import NoScriptError

from tickfence.redis_access.command import Command, checked
from tickfence.redis_access.raw_pipeline import pipeline

_PACKAGE = Path(__file__).parents[1]
_loaded: dict[str, Script] = {}

Argument = str | bytes | int | float


class Script:
    """One script. The header of its file names every key and argument.

    Args:
        path: its file, relative to the package ``tickfence``.

    Example:
        >>> pipe = client.pipeline(transaction=False)
        >>> pipe.execute_command(*ACQUIRE.command([lease_key], [owner, node, generation, ttl_ms]))
        >>> replies = execute(pipe)
    """

    def __init__(self, path: str) -> None:
        self.source = (_PACKAGE / path).read_text(encoding="utf-8")
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        _loaded[self.sha] = self

    def command(self, keys: Sequence[str], arguments: Sequence[Argument]) -> Command:
        """One call, to be sent by :func:`execute` or :func:`send`."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def run(self, client: Any, keys: list[str], arguments: list[Argument]) -> Any:
        """Call it once, and return its reply.

        Raises:
            redis.exceptions.RedisError, redis.exceptions.RedisClusterException: the call failed.
        """
        # Not by a pipeline: that would not take the one connection of a dedicated client.
        try:
            return client.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.execute_command("EVAL", self.source, len(keys), *keys, *arguments)


def execute(pipe: Any, *, raise_errors: bool = True) -> list[Any]:
    """Send a pipeline of reads and script calls; return its replies in order.

    A restarted Redis has forgotten its scripts. Then the whole pipeline is sent again, with their source. That is safe:
    a call of an unknown script does nothing, and every script may be called twice with the same arguments.

    Args:
        pipe: of :func:`tickfence.redis_access.raw_pipeline.pipeline`, or redis-py's.
        raise_errors: raise the first error among the replies. Otherwise it stands in its reply's place.

    Raises:
        redis.exceptions.RedisError, redis.exceptions.RedisClusterException: the connection failed, or a command.
    """
    commands = _queued(pipe)
    replies: list[Any] = pipe.execute(raise_on_error=False)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        for arguments, options in commands:
            if arguments[0] == "EVALSHA":
                arguments = ("EVAL", _loaded[arguments[1]].source, *arguments[2:])  # noqa: PLW2901
            pipe.execute_command(*arguments, **options)
        replies = pipe.execute(raise_on_error=False)
    return list(map(checked, replies)) if raise_errors else replies


def send(client: Any, commands: Iterable[Command], *, raise_errors: bool = True) -> list[Any]:
    """Send commands in one pipeline and return the replies in order; see :func:`execute`."""
    pipe = pipeline(client)
    for command in commands:
        pipe.execute_command(*command)
    return execute(pipe, raise_errors=raise_errors)


def _queued(pipe: Any) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The commands queued so far, each with its arguments and its parsing options."""
    if isinstance(pipe, ClusterPipeline):
        # Its command_stack is always empty (redis-py 8.1).
        return [(command.args, command.options) for command in pipe._execution_strategy.command_queue]
    return list(pipe.command_stack)

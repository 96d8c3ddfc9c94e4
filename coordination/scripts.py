"""The Lua scripts in :mod:`coordination`'s ``lua`` folder, run by their SHA1."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError

_FOLDER = Path(__file__).parent / "lua"
_loaded: dict[str, Script] = {}

Argument = str | bytes | int | float


class Script:
    """One script. Its file's header names every key and argument.

    Example:
        >>> pipe = client.pipeline(transaction=False)
        >>> ACQUIRE.queue(pipe, [lease_key("BTCUSDT")], [owner, node, generation, ttl_ms])
        >>> replies = execute(pipe)
    """

    def __init__(self, name: str) -> None:
        self.source = (_FOLDER / f"{name}.lua").read_text()
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        _loaded[self.sha] = self

    def queue(self, pipe: Any, keys: list[str], arguments: list[Argument]) -> None:
        """Add one call to a redis-py pipeline."""
        pipe.evalsha(self.sha, len(keys), *keys, *arguments)

    def run(self, client: Any, keys: list[str], arguments: list[Argument]) -> Any:
        """Call it once, on its own."""
        pipe = client.pipeline(transaction=False)
        self.queue(pipe, keys, arguments)
        return execute(pipe)[0]


def execute(pipe: Any) -> list[Any]:
    """Send a pipeline of reads and script calls; return its replies.

    A restarted Redis has forgotten its scripts. Then they are loaded and the whole pipeline is sent once more:
    every script here may be called twice with the same arguments, and a call that was not known did nothing.

    Raises:
        redis.exceptions.RedisError: the first error in any reply, or that of the connection.
    """
    commands = list(pipe.command_stack)
    replies: list[Any] = pipe.execute(raise_on_error=False)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        for script in _loaded.values():
            pipe.script_load(script.source)
        pipe.execute()
        pipe.command_stack = commands
        replies = pipe.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


ACQUIRE = Script("acquire")
FENCED_WRITE = Script("fenced_write")
RELEASE = Script("release")
REGISTER = Script("register")
LEAVE = Script("leave")
LEAD = Script("lead")
RESIGN = Script("resign")
PUBLISH_ASSIGNMENT = Script("publish_assignment")

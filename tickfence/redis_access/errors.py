"""What an error of Redis means: the server cannot serve, one key is wrong, or a command is not on offer."""

from __future__ import annotations

import re

from redis import exceptions

REDIS_ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
"""What a call to Redis may raise, for ``except``.

:exc:`redis.exceptions.RedisClusterException` is no ``RedisError``: redis-py raises it when no node of a Redis Cluster
can be reached. ``TimeoutError``, which :func:`asyncio.timeout` raises, is an ``OSError``.

Log the error, wait, and try again: the same call may succeed later. :func:`cannot_serve` tells whether it also makes
sense to close the connections first.
"""

CONNECTION_LOST = (exceptions.ConnectionError, exceptions.TimeoutError)
"""The connection broke, or no answer came in time. The command may have been executed."""

TIMEOUTS = (TimeoutError, exceptions.TimeoutError)
"""No answer came in time."""

ConnectionLost = exceptions.ConnectionError
ResponseError = exceptions.ResponseError
"""An error reply of the server. Its connection is fine."""
NoPermission = exceptions.NoPermissionError
"""The access list does not let this user run the command, or use the key."""
NoScript = exceptions.NoScriptError
"""The server does not know a script: it was restarted."""

_CANNOT_SERVE = (
    exceptions.ConnectionError,  # also: authentication failed, the server is loading its data
    exceptions.TimeoutError,
    exceptions.RedisClusterException,
    exceptions.ClusterDownError,  # also: MASTERDOWN
    exceptions.TryAgainError,
    exceptions.AskError,  # also: MOVED; the key's slot is on its way to another master, or has arrived there
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    OSError,
)
"""The errors for which redis-py has a class; from their text it cuts the code."""

_CODES = re.compile(
    # redis-py, of a command in a pipeline
    r"(?:Command # \d+ \(.*\) of pipeline caused error: )?"
    # Redis 6.2, of a command in a script: "ERR Error running script (call to f_…): @user_script:41: -READONLY …"
    r"(?:(?:ERR )?Error running script .*: -)?"
    r"(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN|UNBLOCKED)(?: |$)",
    re.DOTALL,
)
_OF_ONE_KEY = " to access "
"""Redis words a NOPERM about a key with it, and a NOPERM about a command without it: "No permissions to access a key" (Redis 7 and Valkey),
"this user has no permissions to access one of the keys used as arguments" (Redis 6.2)."""


def cannot_serve(error: object) -> bool:
    """Whether ``error`` says that this server cannot serve now, whatever the key.

    The server is out of reach, a replica, loading, out of memory, unable to save, busy with a script, without enough
    replicas, or without its cluster; or the user may not run the command. Then nothing was lost: keep what you wanted
    to write, close the connections (another server may be the master by now), and try again.

    Any other error is the fault of what was asked, a key of the wrong type for one. It stops that key only.

    Args:
        error: an exception, or a reply of a pipeline, which may be one.

    Example:
        >>> cannot_serve(exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"))
        True
        >>> cannot_serve(exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"))
        False
    """
    if isinstance(error, exceptions.NoPermissionError):
        return _OF_ONE_KEY not in str(error)
    if isinstance(error, exceptions.ResponseError) and _CODES.match(str(error)):
        return True
    return isinstance(error, _CANNOT_SERVE)


def not_offered(error: object) -> bool:
    """Whether ``error`` says that this server has no such command, or that this user may not run it.

    Managed services leave out commands such as ``CLIENT LIST``. Go on without what the command is for.

    Args:
        error: an exception, or a reply of a pipeline, which may be one.
    """
    if isinstance(error, exceptions.NoPermissionError):
        return True
    return isinstance(error, exceptions.ResponseError) and not cannot_serve(error)
